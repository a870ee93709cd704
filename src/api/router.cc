#include "api/router.h"

namespace berth::api {
namespace {

// "/a/b" -> calls use("a"), use("b"). An empty last segment counts ("/a/" is not "/a").
template <class Use>
void each_segment(std::string_view path, Use use) {
  if (path.starts_with('/')) path.remove_prefix(1);
  for (;;) {
    const auto slash = path.find('/');
    use(path.substr(0, slash));
    if (slash == std::string_view::npos) return;
    path.remove_prefix(slash + 1);
  }
}

}  // namespace

Router::Router(const std::vector<Route>& routes) {
  for (std::size_t i = 0; i < routes.size(); ++i) {
    Node* node = &root_;
    each_segment(routes[i].pattern, [&](std::string_view segment) {
      if (segment.starts_with('{')) {
        if (!node->any) node->any = std::make_unique<Node>();
        node->param = segment.substr(1, segment.size() - 2);
        node = node->any.get();
        return;
      }
      auto& child = node->words[std::string(segment)];
      if (!child) child = std::make_unique<Node>();
      node = child.get();
    });
    node->methods.emplace_back(routes[i].method, i);
  }
}

Router::Match Router::find(std::string_view method, std::string_view path) const {
  Match match;
  const Node* node = &root_;
  each_segment(path, [&](std::string_view segment) {
    if (node == nullptr) return;
    if (const auto word = node->words.find(segment); word != node->words.end()) {
      node = word->second.get();
    } else if (node->any && !segment.empty()) {
      match.params.emplace_back(node->param, segment);
      node = node->any.get();
    } else {
      node = nullptr;
    }
  });
  if (node == nullptr || node->methods.empty()) return match;
  match.path_known = true;
  for (const auto& [name, index] : node->methods) {
    if (name == method || (method == "HEAD" && name == "GET")) match.route = index;
    match.allow += (match.allow.empty() ? "" : ", ") + std::string(name);
  }
  return match;
}

}  // namespace berth::api
