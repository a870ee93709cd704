#include "core/constraint.h"

#include <algorithm>

namespace berth {
namespace {

bool in_word(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

bool stands_in(std::string_view wanted, std::string_view model) {
  if (wanted.empty()) return false;
  for (std::size_t at = 0; at + wanted.size() <= model.size(); ++at) {
    const std::size_t end = at + wanted.size();
    // Neither border may cut a word of the model.
    const bool cut_before = at > 0 && in_word(model[at - 1]) && in_word(wanted.front());
    const bool cut_after = end < model.size() && in_word(model[end]) && in_word(wanted.back());
    if (cut_before || cut_after) continue;
    if (std::ranges::equal(wanted, model.substr(at, wanted.size()), {}, lower, lower)) return true;
  }
  return false;
}

}  // namespace

bool names_gpu_model(std::string_view alternatives, std::string_view model) {
  for (;;) {
    const std::size_t end = std::min(alternatives.find('|'), alternatives.size());
    if (stands_in(trimmed(alternatives.substr(0, end)), model)) return true;
    if (end == alternatives.size()) return false;
    alternatives.remove_prefix(end + 1);
  }
}

bool allows(const Constraint& constraint, const Node& node) {
  if (!constraint.gpu_model.empty() && !names_gpu_model(constraint.gpu_model, node.gpu_model)) {
    return false;
  }
  return std::ranges::all_of(constraint.labels, [&](const auto& wanted) {
    const auto found = node.labels.find(wanted.first);
    return found != node.labels.end() && found->second == wanted.second;
  });
}

}  // namespace berth
