// Finds the route of a path: a tree of segments, fixed words before parameters.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "api/route.h"

namespace berth::api {

class Router {
 public:
  explicit Router(const std::vector<Route>& routes);

  struct Match {
    bool path_known = false;           // the path exists, perhaps with other methods
    std::optional<std::size_t> route;  // index into the table
    std::string allow;                 // methods of the path, for a 405
    std::vector<std::pair<std::string_view, std::string_view>> params;  // name, raw value
  };
  [[nodiscard]] Match find(std::string_view method, std::string_view path) const;

 private:
  struct Node {
    std::map<std::string, std::unique_ptr<Node>, std::less<>> words;
    std::unique_ptr<Node> any;
    std::string param;  // name of `any`'s parameter
    std::vector<std::pair<std::string_view, std::size_t>> methods;
  };
  Node root_;
};

}  // namespace berth::api
