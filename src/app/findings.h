// What a doctor finds.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace berth::app {

enum class Verdict { fine, warning, broken };

struct Finding {
  Verdict verdict;
  std::string check;
  std::string detail;  // what it is, and what to do
};

class Findings {
 public:
  void fine(std::string check, std::string detail) {
    all.push_back({Verdict::fine, std::move(check), std::move(detail)});
  }
  void warn(std::string check, std::string detail) {
    all.push_back({Verdict::warning, std::move(check), std::move(detail)});
  }
  void broken(std::string check, std::string detail) {
    all.push_back({Verdict::broken, std::move(check), std::move(detail)});
  }
  std::vector<Finding> all;
};

}  // namespace berth::app
