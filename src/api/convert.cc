#include "api/convert.h"

#include <fmt/format.h>

namespace berth::api {
namespace {

using std::chrono::milliseconds;

Seconds seconds_of(milliseconds d) { return Seconds{d.count() * 1000}; }
milliseconds millis_of(const Seconds& s) { return milliseconds(s.micros / 1000); }

constexpr std::int32_t kServiceAttempts = 5;
constexpr std::int32_t kJobAttempts = 1;

Resources taken(const Resources& capacity, const Resources& free) {
  return minus(capacity, free).value_or(Resources{});
}

ForecastView forecast_of(const std::optional<StartForecast>& forecast) {
  ForecastView out;
  if (!forecast) return out;
  const auto time_of = [](EngineTime t) { return Timestamp{t * 1000}; };
  out.method = std::string(to_text(forecast->method));
  if (forecast->latest) {
    out.earliest = time_of(forecast->earliest);
    out.latest = time_of(*forecast->latest);
  }
  out.guaranteed = forecast->guaranteed;
  if (forecast->never_later) out.never_later = time_of(*forecast->never_later);
  return out;
}

NodeStatusView view(const NodeState& n) {
  NodeStatusView out;
  out.name = n.node.name;
  out.gpu_model = n.node.gpu_model;
  out.capacity = to_body(n.node.capacity);
  out.reserved = to_body(taken(n.node.capacity, n.free));
  out.available = to_body(n.free);
  for (std::size_t i = 0; i < n.gpu_free_milli.size(); ++i) {
    out.gpus.push_back({static_cast<std::int32_t>(i), Gpu{kGpuDevice - n.gpu_free_milli[i]},
                        Gpu{n.gpu_free_milli[i]}});
  }
  out.running = n.active;
  return out;
}

}  // namespace

Resources from_body(const ResourcesBody& b) { return {b.cpu.milli, b.memory.bytes, b.gpu.milli}; }
ResourcesBody to_body(const Resources& r) {
  return {Cpu{r.cpu_milli}, Memory{r.memory_bytes}, Gpu{r.gpu_milli}};
}
Resources from_body(const LimitsBody& b) {
  return {b.cpu ? b.cpu->milli : kNoQuota, b.memory ? b.memory->bytes : kNoQuota,
          b.gpu ? b.gpu->milli : kNoQuota};
}
LimitsBody to_limits(const Resources& r) {
  LimitsBody out;
  if (r.cpu_milli != kNoQuota) out.cpu = Cpu{r.cpu_milli};
  if (r.memory_bytes != kNoQuota) out.memory = Memory{r.memory_bytes};
  if (r.gpu_milli != kNoQuota) out.gpu = Gpu{r.gpu_milli};
  return out;
}
std::optional<LimitsBody> to_limits(const std::optional<Resources>& limits) {
  return limits ? std::optional(to_limits(*limits)) : std::nullopt;
}
std::vector<Node> from_body(const std::vector<NodeBody>& nodes) {
  std::vector<Node> out;
  for (const auto& n : nodes)
    out.push_back({n.name, from_body(n.resources), n.gpu_model, n.labels});
  return out;
}

UserView view(const User& u) { return {u.id, u.username, u.email, u.is_admin, u.created_at}; }
TokenView view(const Login& l) {
  return {l.access_token, "Bearer", l.expires_in.count(), l.refresh_token, view(l.user)};
}
KeyView view(const ApiKey& k) {
  return {k.id, k.name, k.prefix, std::nullopt, k.created_at, k.expires_at};
}
KeyView view(const NewKey& k) {
  KeyView out = view(k.key);
  out.key = k.secret;
  return out;
}
OrganizationBody view(const OrganizationView& o) {
  return {o.organization.id, o.organization.name, o.role, o.organization.created_at,
          o.organization.version};
}
MemberView view(const Member& m) { return {m.user, m.username, m.email, m.role, m.joined_at}; }
InviteView view(const Invite& i) {
  return {i.id,   std::nullopt, i.prefix,     i.role,      i.max_uses,
          i.uses, i.created_at, i.expires_at, i.revoked_at};
}
InviteView view(const NewInvite& i) {
  InviteView out = view(i.invite);
  out.code = i.code;
  return out;
}

ClusterView view(const Cluster& c) {
  ClusterView out;
  out.id = c.id;
  out.organization_id = c.organization;
  out.name = c.name;
  out.runtime.kind = c.runtime.kind;
  if (c.runtime.kind == RuntimeKind::simulated) out.runtime.speed = c.runtime.speed;
  out.policy = c.policy;
  out.placement = c.placement;
  if (c.age_bound) out.age_bound = seconds_of(*c.age_bound);
  out.fair = c.fair;
  out.paused = c.paused;
  Resources total;
  for (const auto& n : c.nodes) {
    total += n.capacity;
    out.nodes.push_back({n.name, to_body(n.capacity), n.gpu_model, n.labels});
  }
  out.resources = to_body(total);
  out.created_at = c.created_at;
  out.version = c.version;
  return out;
}

QuotaView view(const QuotaRow& row) {
  return {row.organization,     row.name,
          to_limits(row.quota), to_limits(row.borrowing),
          to_body(row.used),    to_body(row.borrowed),
          row.waiting};
}

ClusterStatusView view(const ClusterStatus& s) {
  ClusterStatusView out;
  out.cluster_id = s.cluster.id;
  out.name = s.cluster.name;
  out.paused = s.engine.paused;
  out.capacity = to_body(s.engine.capacity);
  out.reserved = to_body(taken(s.engine.capacity, s.engine.free));
  out.available = to_body(s.engine.free);
  for (const auto& n : s.engine.nodes) out.nodes.push_back(view(n));
  for (const auto& row : s.quotas) out.quotas.push_back(view(row));
  out.queue = {s.engine.high_waiting, s.engine.low_waiting, s.engine.parked};
  out.active = s.engine.active;
  if (s.health)
    out.runtime = RuntimeHealth{s.health->reachable, s.health->message, s.health->enforcement};
  out.index = s.index;
  out.at = s.at;
  return out;
}

QueueItemView view(const QueueItem& i) {
  QueueItemView out;
  out.position = i.entry.position;
  out.deployment_id = i.entry.id;
  out.name = i.name;
  out.mine = i.mine;
  out.priority = i.entry.priority;
  out.resources = to_body(i.entry.demand);
  out.replicas = i.replicas;
  out.reason = i.entry.reason;
  out.needs_action = needs_action(i.entry.reason);
  out.queued_at = i.queued_at;
  out.retry_at = i.retry_at;
  out.forecast = forecast_of(i.forecast);
  return out;
}

namespace {

PlaceView view(const Grant& grant) {
  PlaceView out{grant.node, {}};
  for (const auto& g : grant.gpus) out.gpus.push_back({g.device, Gpu{g.milli}});
  return out;
}

std::vector<ReplicaView> placements_of(const Deployment& d) {
  std::vector<ReplicaView> out;
  for (const auto& progress : d.gang.replicas) {
    ReplicaView one;
    one.replica = static_cast<std::int32_t>(out.size());
    one.state = progress.phase;
    if (d.grant) one.place = view(d.grant_of(one.replica));
    one.exit_code = progress.exit_code;
    if (!progress.message.empty()) one.message = progress.message;
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace

DeploymentView view(const Deployment& d) {
  DeploymentView out;
  out.id = d.id;
  out.organization_id = d.organization;
  out.cluster_id = d.cluster;
  out.name = d.name;
  out.kind = d.spec.kind;
  out.state = d.state;
  out.priority = d.priority;
  out.resources = to_body(d.spec.resources);
  if (!d.spec.image.empty()) out.image = d.spec.image;
  out.command = d.spec.command;
  out.env = d.spec.env;
  out.port = d.spec.port;
  if (d.spec.port) {
    ReadinessBody readiness;
    if (!d.spec.readiness.path.empty()) readiness.path = d.spec.readiness.path;
    readiness.timeout = seconds_of(d.spec.readiness.timeout);
    out.readiness = std::move(readiness);
  }
  out.restart = {d.spec.restart.max_attempts, seconds_of(d.spec.restart.backoff)};
  out.stop_grace = seconds_of(d.spec.stop_grace);
  if (d.spec.max_run_time) out.max_run_time = seconds_of(*d.spec.max_run_time);
  out.access = d.spec.access;
  if (d.spec.simulation) {
    out.simulate =
        SimulateBody{seconds_of(d.spec.simulation->duration), d.spec.simulation->exit_code};
  }
  out.labels = d.spec.labels;
  if (!d.spec.constraint.gpu_model.empty()) out.gpu_model = d.spec.constraint.gpu_model;
  out.node_labels = d.spec.constraint.labels;
  for (const auto& one : d.spec.depends_on) out.depends_on.push_back({one.on.str(), one.until});
  out.replicas = d.spec.replicas;
  out.attempt = d.attempt;
  if (d.grant) out.place = view(*d.grant);
  out.placements = placements_of(d);
  // The address behind it is nobody's business: it changes with each attempt.
  if (d.spec.port && !is_terminal(d.state)) {
    out.endpoint = fmt::format("/serve/{}/{}/", d.organization.str(), d.name);
  }
  out.exit_code = d.exit_code;
  if (!d.message.empty()) out.message = d.message;
  out.retry_at = d.retry_at;
  out.created_at = d.created_at;
  out.updated_at = d.updated_at;
  out.started_at = d.started_at;
  out.ended_at = d.ended_at;
  out.version = d.version;
  return out;
}

EventView view(const Event& e) {
  return {e.seq,        e.at,    e.kind,       e.organization, e.cluster,
          e.deployment, e.actor, e.actor_name, e.request_id,   json::RawJson{e.data}};
}

ExplanationView view(const WaitExplanation& w) {
  ExplanationView out;
  out.deployment_id = w.deployment->id;
  out.state = w.deployment->state;
  out.message = w.sentence;
  out.index = w.index;
  out.at = w.at;
  if (!w.detail) return out;
  const Explanation& e = *w.detail;
  out.reason = e.reason;
  out.needs_action = needs_action(e.reason) || w.in_vain;
  out.forecast = forecast_of(w.forecast);
  out.all_reasons = e.all;
  out.replicas_fit = e.replicas_fit;
  if (e.position > 0) {  // in back-off it stands in no line
    out.position = e.position;
    out.ahead_high = e.ahead_high;
    out.ahead_low = e.ahead_low;
  }
  if (!e.nearest_node.empty()) {
    out.nearest_node = e.nearest_node;
    out.missing = to_body(e.missing);
  }
  out.free_total = to_body(e.free_total);
  out.largest_hole = to_body(e.largest_hole);
  if (e.would_fit) out.would_start_now = to_body(*e.would_fit);
  if (e.too_large)
    out.largest_possible =
        TooLargeView{to_body(e.too_large->largest), e.too_large->node, e.too_large->replicas_fit};
  if (e.quota) {
    out.quota =
        QuotaExcessView{to_limits(e.quota->quota.nominal), to_limits(e.quota->quota.borrowing),
                        to_body(e.quota->asked),           to_body(e.quota->used),
                        to_limits(e.quota->headroom),      to_limits(borrowable(*e.quota))};
  }
  for (const auto& [id, name] : w.blockers) out.blockers.push_back({id, name, !name.empty()});
  for (const auto& [id, name] : w.displaced) out.displaced.push_back({id, name, !name.empty()});
  return out;
}

DeploymentWish wish_of(CreateDeploymentRequest r) {
  DeploymentWish wish;
  wish.cluster = r.cluster_id;
  wish.organization = r.organization_id;
  wish.name = r.name.value_or("");
  wish.priority = r.priority;
  DeploymentSpec& s = wish.spec;
  s.kind = r.kind;
  s.image = r.image.value_or("");
  if (r.command) s.command = std::move(*r.command);
  s.env = std::move(r.env);
  s.port = r.port;
  s.resources = from_body(r.resources);
  if (r.readiness) {
    s.readiness.path = r.readiness->path.value_or("");
    if (r.readiness->timeout) {
      s.readiness.timeout =
          std::chrono::ceil<std::chrono::seconds>(millis_of(*r.readiness->timeout));
    }
  }
  const RestartBody restart = r.restart.value_or(RestartBody{});
  s.restart.max_attempts =
      restart.max_attempts.value_or(s.kind == Kind::service ? kServiceAttempts : kJobAttempts);
  if (restart.backoff) s.restart.backoff = millis_of(*restart.backoff);
  if (r.stop_grace) s.stop_grace = millis_of(*r.stop_grace);
  if (r.max_run_time) s.max_run_time = millis_of(*r.max_run_time);
  s.access = r.access;
  if (r.simulate) {
    s.simulation =
        Simulation{r.simulate->duration ? millis_of(*r.simulate->duration) : milliseconds(0),
                   r.simulate->exit_code};
  }
  s.labels = std::move(r.labels);
  s.constraint = {r.gpu_model.value_or(""), std::move(r.node_labels)};
  s.replicas = r.replicas;
  for (auto& one : r.depends_on) wish.after.push_back({std::move(one.deployment), one.until});
  return wish;
}

}  // namespace berth::api
