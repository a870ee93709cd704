// Pages, problems and the state of the server: name on the wire, member, and everything a reader, a
// writer and the OpenAPI description need to know about it.
#pragma once
#include "api/schema_rules.h"

namespace berth::json {

using namespace berth::api;

template <>
struct Schema<ProblemField> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "ProblemField";
  static constexpr std::string_view doc = "One refused field.";
  static constexpr auto fields = std::tuple{
      field(
          "pointer", &ProblemField::pointer,
          rule::must("JSON pointer into the body, or the parameter's name.", "\"/resources/cpu\"")),
      field("code", &ProblemField::code, rule::must("Stable word.", "\"out_of_range\"")),
      field("message", &ProblemField::message, rule::must("What would be accepted.")),
  };
};

template <>
struct Schema<Problem> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Problem";
  static constexpr std::string_view doc = "What went wrong and what to do (RFC 9457).";
  static constexpr auto fields = std::tuple{
      field("type", &Problem::type,
            rule::must("Stable address of this kind of problem.", "\"/problems#invalid_request\"")),
      field("title", &Problem::title, rule::must("Short.", "\"Bad Request\"")),
      field("status", &Problem::status, rule::must("HTTP status.", "400")),
      field("detail", &Problem::detail, rule::must("A sentence.")),
      field("instance", &Problem::instance, rule::must("The path that was asked.")),
      field("code", &Problem::code, rule::must("Stable word.", "\"invalid_request\"")),
      field("request_id", &Problem::request_id, rule::must("To find it in the log.")),
      field("errors", &Problem::errors, rule::must("Every refused field.")),
  };
};

template <>
struct Schema<HealthView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Health";
  static constexpr std::string_view doc = "The process answers.";
  static constexpr auto fields =
      std::tuple{field("status", &HealthView::status, rule::must("ok.", "\"ok\""))};
};

template <>
struct Schema<ReadinessCheck> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "ReadinessCheck";
  static constexpr std::string_view doc = "One thing that must work.";
  static constexpr auto fields = std::tuple{
      field("name", &ReadinessCheck::name, rule::must("What.", "\"database\"")),
      field("ok", &ReadinessCheck::ok, rule::must("It works.")),
      field("message", &ReadinessCheck::message, rule::must("A sentence when it does not.")),
  };
};

template <>
struct Schema<ReadyView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Ready";
  static constexpr std::string_view doc = "The server can do its work.";
  static constexpr auto fields = std::tuple{
      field("status", &ReadyView::status, rule::must("ok or unavailable.", "\"ok\"")),
      field("checks", &ReadyView::checks, rule::must("One by one.")),
  };
};

template <>
struct Schema<VersionView> {
  static constexpr Use use = Use::response;
  static constexpr std::string_view name = "Version";
  static constexpr std::string_view doc = "Which Berth this is.";
  static constexpr auto fields = std::tuple{
      field("version", &VersionView::version, rule::must("Of the server.", "\"0.1.0\"")),
      field("api", &VersionView::api, rule::must("Of the API.", "\"v1\"")),
  };
};

template <class T>
struct Schema<Page<T>> {
  static constexpr Use use = Use::response;
  static constexpr auto letters = [] {
    constexpr std::string_view item = Schema<T>::name;
    constexpr std::string_view suffix = "Page";
    std::array<char, item.size() + suffix.size()> out{};
    std::copy(item.begin(), item.end(), out.begin());
    std::copy(suffix.begin(), suffix.end(), out.begin() + item.size());
    return out;
  }();
  static constexpr std::string_view name{letters.data(), letters.size()};
  static constexpr std::string_view doc =
      "A page of a list; pass 'next' as 'cursor' for the following one.";
  static constexpr auto fields = std::tuple{
      field("items", &Page<T>::items, rule::must("The entries.")),
      field("next", &Page<T>::next, rule::doc("Cursor of the next page; absent on the last.")),
  };
};

}  // namespace berth::json
