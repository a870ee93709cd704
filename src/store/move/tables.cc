#include "store/move/tables.h"

#include <fmt/format.h>

namespace berth::move {
namespace {

using enum sql::Kind;

std::vector<Table> described() {
  return {
      {"users",
       {{"id", bytes},
        {"username", text},
        {"email", text},
        {"password_hash", text},
        {"is_admin", flag},
        {"disabled", flag},
        {"created_at", integer},
        {"version", integer}},
       "id",
       {}},
      {"sessions",
       {{"id", bytes},
        {"user_id", bytes},
        {"access", bytes},
        {"access_expires_at", integer},
        {"refresh", bytes},
        {"refresh_expires_at", integer},
        {"created_at", integer}},
       "id",
       {}},
      {"spent_refresh", {{"token", bytes}, {"session_id", bytes}}, "token", {}},
      {"api_keys",
       {{"id", bytes},
        {"user_id", bytes},
        {"name", text},
        {"prefix", text},
        {"secret", bytes},
        {"created_at", integer},
        {"expires_at", integer}},
       "id",
       {}},
      {"setup_token", {{"one", integer}, {"token", bytes}, {"expires_at", integer}}, "one", {}},
      {"organizations",
       {{"id", bytes}, {"name", text}, {"created_at", integer}, {"version", integer}},
       "id",
       {}},
      {"members",
       {{"org_id", bytes},
        {"user_id", bytes},
        {"role", text},
        {"joined_at", integer},
        {"version", integer}},
       "org_id, user_id",
       {}},
      {"invites",
       {{"id", bytes},
        {"org_id", bytes},
        {"code", bytes},
        {"prefix", text},
        {"role", text},
        {"created_at", integer},
        {"created_by", bytes},
        {"expires_at", integer},
        {"max_uses", integer},
        {"uses", integer},
        {"revoked_at", integer}},
       "id",
       {}},
      {"clusters",
       {{"id", bytes},
        {"org_id", bytes},
        {"name", text},
        {"runtime", text},
        {"speed", real},
        {"policy", text},
        {"placement", text},
        {"age_bound", integer},
        {"mix", text},
        {"paused", flag},
        {"next_order", integer},
        {"created_at", integer},
        {"version", integer}},
       "id",
       {}},
      {"nodes",
       {{"cluster_id", bytes},
        {"name", text},
        {"ordinal", integer},
        {"gpu_model", text},
        {"labels", text},
        {"cpu", integer},
        {"memory", integer},
        {"gpus", integer},
        {"free_cpu", integer},
        {"free_memory", integer}},
       "cluster_id, name",
       {}},
      {"gpus",
       {{"cluster_id", bytes}, {"node", text}, {"device", integer}, {"free", integer}},
       "cluster_id, node, device",
       {}},
      {"deployments",
       {{"id", bytes},           {"org_id", bytes},        {"cluster_id", bytes},
        {"name", text},          {"priority", text},       {"state", text},
        {"ord", integer},        {"cpu", integer},         {"memory", integer},
        {"gpu", integer},        {"spec", text},           {"attempt", integer},
        {"failures", integer},   {"retry_at", integer},    {"node", text},
        {"gpu_grant", text},     {"endpoint", text},       {"exit_code", integer},
        {"message", text},       {"created_by", bytes},    {"created_at", integer},
        {"updated_at", integer}, {"admitted_at", integer}, {"started_at", integer},
        {"ended_at", integer},   {"queued_at", integer},   {"max_run", integer},
        {"needs", text},         {"displaced_for", bytes}, {"unmet", integer},
        {"awaited", flag},       {"version", integer}},
       "id",
       {}},
      {"dependencies",
       {{"deployment_id", bytes}, {"on_id", bytes}, {"until", text}},
       "deployment_id, on_id",
       {}},
      {"reservations",
       {{"deployment_id", bytes},
        {"attempt", integer},
        {"cluster_id", bytes},
        {"node", text},
        {"cpu", integer},
        {"memory", integer},
        {"gpu_grant", text}},
       "deployment_id, attempt",
       {}},
      {"events",
       {{"seq", integer},
        {"at", integer},
        {"org_id", bytes},
        {"cluster_id", bytes},
        {"deployment_id", bytes},
        {"kind", text},
        {"actor", text},
        {"actor_name", text},
        {"request_id", text},
        {"data", text}},
       "seq",
       {}},
      {"replies",
       {{"scope", text},
        {"key", text},
        {"fingerprint", bytes},
        {"status", integer},
        {"body", text},
        {"location", text},
        {"etag", text},
        {"created_at", integer}},
       "scope, key",
       {}},
      {"schedulers", {{"id", text}, {"address", text}, {"deadline", integer}}, "id", {}},
      {"leases", {{"cluster_id", bytes}, {"holder", text}, {"epoch", integer}}, "cluster_id", {}},
      {"installation", {{"one", integer}, {"secret", text}, {"relayed", integer}}, "one", {}},
  };
}

}  // namespace

std::string Table::column_list() const {
  std::string out;
  for (const auto& column : columns) {
    if (!out.empty()) out += ", ";
    out += column.name;
  }
  return out;
}

const std::vector<Table>& tables() {
  static const std::vector<Table> all = [] {
    auto out = described();
    for (auto& table : out) {
      table.select =
          fmt::format("SELECT {} FROM {} ORDER BY {}", table.column_list(), table.name, table.key);
    }
    return out;
  }();
  return all;
}

}  // namespace berth::move
