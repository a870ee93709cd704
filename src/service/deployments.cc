#include "service/deployments.h"

#include <fmt/format.h>

#include "scheduler/outlook.h"
#include "service/accounts.h"
#include "service/json_text.h"
#include "service/live_engine.h"
#include "service/quotas.h"
#include "service/restore.h"
#include "service/sentences.h"

namespace berth {
namespace {

void need(Error& error, bool ok, std::string pointer, const char* word, std::string message) {
  if (!ok) error.fields.push_back({std::move(pointer), word, std::move(message)});
}

}  // namespace

Deployments::Deployments(ReadSide& reads, Committer& committer, Scheduling& scheduling,
                         Runner& runner, const Clock& clock, Random& random)
    : reads_(reads),
      committer_(committer),
      scheduling_(scheduling),
      runner_(runner),
      clock_(clock),
      random_(random) {}

Result<void> Deployments::check(const DeploymentWish& wish, RuntimeKind runtime) {
  const DeploymentSpec& s = wish.spec;
  Error error{Code::invalid_argument, "invalid_request", "The deployment has mistakes."};
  need(error, wish.name.empty() || is_name(wish.name), "/name", "invalid_format",
       "A name has 1 to 63 letters, digits, '-', '_' or '.', beginning with a letter or digit.");
  const bool simulated = runtime == RuntimeKind::simulated;
  need(error, simulated || !s.command.empty() || !s.image.empty(), "/command", "required",
       "Say what to run: a list of words such as [\"python3\", \"serve.py\"].");
  // Nothing that really runs is without limits.
  need(error, simulated || s.resources.cpu_milli > 0, "/resources/cpu", "required",
       "Say how much CPU it needs, such as 1 or \"500m\".");
  need(error, simulated || s.resources.memory_bytes > 0, "/resources/memory", "required",
       "Say how much memory it needs, such as \"512MiB\".");
  need(error, runtime != RuntimeKind::process || s.image.empty(), "/image", "not_supported",
       "The process runtime runs commands, not images; give 'command' instead.");
  need(error, s.command.empty() || !s.command.front().empty(), "/command/0", "too_short",
       "The first word is the program; it must not be empty.");
  need(error, simulated || !s.simulation, "/simulate", "not_supported",
       "'simulate' is for clusters with the simulated runtime.");
  need(error, s.readiness.path.empty() || s.port, "/readiness/path", "needs_port",
       "A readiness path needs a 'port'.");
  need(error, s.resources.gpu_milli < kGpuDevice || s.resources.gpu_milli % kGpuDevice == 0,
       "/resources/gpu", "invalid_quantity",
       "GPU is a whole number of devices, or a share of one device such as 0.25.");
  for (const auto& [name, value] : s.env) {
    const bool reserved =
        name == "PORT" || name == "CUDA_VISIBLE_DEVICES" || name.starts_with("BERTH_");
    need(error, !reserved, "/env/" + name, "reserved",
         fmt::format("{} is set by Berth itself.", name));
  }
  if (error.fields.empty()) return {};
  return std::unexpected(std::move(error));
}

Task<Result<Once<Deployment>>> Deployments::submit(
    Caller caller, DeploymentWish wish, std::optional<IdempotencyKey> key,
    std::function<StoredReply(const Deployment&)> render) {
  auto cluster = reads_.cluster(wish.cluster);
  if (!cluster) co_return std::unexpected(std::move(cluster.error()));
  const auto no_cluster = [] {
    auto error = fail_field("/cluster_id", "not_found", "No such cluster.");
    error.error().code = Code::not_found;
    error.error().reason = "not_found";
    return error;
  };
  if (!*cluster) co_return no_cluster();
  const auto whose = acting_for(reads_, caller, **cluster, wish.organization,
                                Operation::deployment_create, "/organization_id");
  if (!whose) {
    const bool foreign = whose.error().code == Code::not_found && whose.error().fields.empty();
    if (foreign) co_return no_cluster();
    co_return std::unexpected(whose.error());
  }
  const OrganizationId org = *whose;
  const bool is_guest = org != (*cluster)->organization;
  if (auto fine = check(wish, (*cluster)->runtime.kind); !fine)
    co_return std::unexpected(std::move(fine.error()));
  if (const auto never =
          never_fits(**cluster, wish.spec.resources, wish.spec.constraint, wish.spec.replicas))
    co_return too_large(*never, (*cluster)->name);

  const ClusterId lane = wish.cluster;
  std::move_only_function<Result<Deployment>(Change&)> unit =
      [this, caller, org, is_guest,
       wish = std::move(wish)](Change& change) mutable -> Result<Deployment> {
    std::uint32_t tenant = 0;
    if (is_guest) {
      auto shared = still_shared(change, wish.cluster, org);
      if (!shared) return std::unexpected(std::move(shared.error()));
      tenant = *shared;
    }
    Deployment d;
    d.id = DeploymentId::make(change.now, random_);
    d.organization = org;
    d.cluster = wish.cluster;
    d.name = wish.name.empty() ? "d-" + d.id.str().substr(d.id.str().size() - 10) : wish.name;
    d.spec = std::move(wish.spec);
    d.priority = wish.priority;
    d.created_by = caller.principal.user;
    auto unmet = depend(change, caller.actor(), d, wish.after);
    if (!unmet) return std::unexpected(std::move(unmet.error()));
    d.created_at = d.queued_at = d.updated_at = change.now;
    auto order = change.take_order(d.cluster);
    if (!order) return std::unexpected(std::move(order.error()));
    d.order = *order;
    JsonText data;
    data.add("name", d.name).add("priority", to_text(d.priority)).add("order", d.order);
    data.add_raw("resources", resources_json(d.spec.resources));
    if (d.is_gang()) data.add("replicas", d.spec.replicas);
    auto step = change.tx.insert(d);
    if (!step && step.error().reason == "name_taken")
      step.error().fields.push_back({"/name", "name_taken", step.error().message});
    for (const auto& one : *unmet) {
      if (step) step = change.tx.add_dependency(d.id, one);
    }
    if (step) step = change.record(caller.actor(), "deployment.queued", d, data.str());
    if (!step) return std::unexpected(std::move(step.error()));
    change.tell(d.cluster, queued_entry(d, tenant));
    change.after([this, d] { reads_.changed(d); });
    return d;
  };
  co_return co_await committer_.write<Once<Deployment>>(
      once<Deployment>(std::move(key), std::move(render), std::move(unit)), lane);
}

Result<std::shared_ptr<const Deployment>> Deployments::get(const Caller& caller,
                                                           const DeploymentId& id,
                                                           Operation operation) {
  auto d = reads_.deployment(id);
  if (!d) return d;
  if (!*d) return not_found("deployment");
  auto role = authorize(reads_, caller, (*d)->organization, operation, "deployment");
  if (!role) return std::unexpected(std::move(role.error()));
  return d;
}

Result<std::vector<std::shared_ptr<const Deployment>>> Deployments::list(
    const Caller& caller, const DeploymentQuery& query) {
  DeploymentFilter filter;
  std::shared_ptr<const Cluster> cluster;
  if (query.cluster) {
    auto row = reads_.cluster(*query.cluster);
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return not_found("cluster");
    cluster = *row;
    if (auto fine = authorize(reads_, caller, *cluster, Operation::deployment_list); !fine)
      return std::unexpected(std::move(fine.error()));
  }
  if (query.organization) {
    auto role =
        authorize(reads_, caller, *query.organization, Operation::deployment_list, "organization");
    if (!role) return std::unexpected(std::move(role.error()));
    filter.organizations.push_back(*query.organization);
  } else {
    auto mine = reads_.memberships(caller.principal.user);
    if (!mine) return std::unexpected(std::move(mine.error()));
    for (const auto& [id, role] : **mine) {
      if (!cluster || cluster->serves(id)) filter.organizations.push_back(id);
    }
  }
  filter.cluster = query.cluster;
  filter.state = query.state;
  filter.priority = query.priority;
  filter.name = query.name;
  filter.before = query.before;
  filter.limit = query.limit;
  auto view = reads_.view();
  if (!view) return std::unexpected(std::move(view.error()));
  auto rows = (*view)->deployments(filter);
  if (!rows) return std::unexpected(std::move(rows.error()));
  std::vector<std::shared_ptr<const Deployment>> out;
  out.reserve(rows->size());
  for (auto& row : *rows) out.push_back(std::make_shared<const Deployment>(std::move(row)));
  return out;
}

Task<Result<Deployment>> Deployments::set_priority(Caller caller, DeploymentId id,
                                                   Priority priority,
                                                   std::optional<std::int64_t> if_version) {
  auto seen = get(caller, id, Operation::deployment_update);
  if (!seen) co_return std::unexpected(std::move(seen.error()));
  const ClusterId cluster = (*seen)->cluster;
  std::move_only_function<Result<Deployment>(Change&)> unit =
      [this, caller, cluster, id, priority, if_version](Change& change) -> Result<Deployment> {
    if (auto held = change.hold(cluster); !held) return std::unexpected(std::move(held.error()));
    auto row = change.tx.deployment(id);
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return not_found("deployment");
    Deployment d = std::move(**row);
    if (auto same = still_at(d.version, if_version, "deployment"); !same)
      return std::unexpected(std::move(same.error()));
    if (d.state != State::queued) {
      return fail(
          Code::failed_precondition, "wrong_state",
          fmt::format("The priority can be changed while a deployment is queued; this one is {}.",
                      to_text(d.state)));
    }
    if (d.priority == priority) return d;
    JsonText data;
    data.add("from", to_text(d.priority)).add("to", to_text(priority));
    d.priority = priority;
    d.version += 1;
    d.updated_at = change.now;
    auto step = change.tx.update(d, State::queued);
    if (step) step = change.record(caller.actor(), "deployment.priority_changed", d, data.str());
    if (!step) return std::unexpected(std::move(step.error()));
    change.tell(d.cluster, Reprioritized{d.id, priority});
    change.after([this, d] { reads_.changed(d); });
    return d;
  };
  co_return co_await committer_.write<Deployment>(std::move(unit), cluster);
}

Task<Result<Deployment>> Deployments::stop(Caller caller, DeploymentId id) {
  auto seen = get(caller, id, Operation::deployment_stop);
  if (!seen) co_return std::unexpected(std::move(seen.error()));
  const ClusterId cluster = (*seen)->cluster;
  std::move_only_function<Result<Deployment>(Change&)> unit =
      [this, caller, cluster, id](Change& change) -> Result<Deployment> {
    if (auto held = change.hold(cluster); !held) return std::unexpected(std::move(held.error()));
    auto row = change.tx.deployment(id);
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return not_found("deployment");
    Deployment d = std::move(**row);
    if (!next_state(d.state, Cause::stop_requested)) return d;  // stopping, or ended: as asked
    if (auto done = apply_stop(change, runner_.context(), caller.actor(), d); !done) {
      return std::unexpected(std::move(done.error()));
    }
    return d;
  };
  co_return co_await committer_.write<Deployment>(std::move(unit), cluster);
}

Task<Result<void>> Deployments::remove(Caller caller, DeploymentId id,
                                       std::optional<std::int64_t> if_version) {
  auto seen = get(caller, id, Operation::deployment_delete);
  if (!seen) co_return std::unexpected(std::move(seen.error()));
  const ClusterId cluster = (*seen)->cluster;
  std::move_only_function<Result<void>(Change&)> unit =
      [this, caller, cluster, id, if_version](Change& change) -> Result<void> {
    if (auto held = change.hold(cluster); !held) return std::unexpected(std::move(held.error()));
    auto row = change.tx.deployment(id);
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return not_found("deployment");
    const Deployment d = std::move(**row);
    if (auto same = still_at(d.version, if_version, "deployment"); !same) return same;
    if (!is_terminal(d.state)) {
      return fail(Code::failed_precondition, "wrong_state",
                  fmt::format("It is {}; stop it first, then delete it.", to_text(d.state)));
    }
    JsonText data;
    data.add("name", d.name);
    auto step = change.tx.remove_deployment(id);
    if (step) step = change.record(caller.actor(), "deployment.deleted", d, data.str());
    if (!step) return step;
    change.after([this, d] {
      reads_.changed(d);
      runner_.forget(d.cluster, d.id);
    });
    return {};
  };
  co_return co_await committer_.write(std::move(unit), cluster);
}

Result<std::vector<Event>> Deployments::events(const Caller& caller, const DeploymentId& id,
                                               std::int64_t after, std::size_t limit) {
  auto d = get(caller, id, Operation::deployment_events);
  if (!d) return std::unexpected(std::move(d.error()));
  auto view = reads_.view();
  if (!view) return std::unexpected(std::move(view.error()));
  EventFilter filter;
  filter.organizations = {(*d)->organization};
  filter.deployment = id;
  filter.after = after;
  filter.limit = limit;
  return (*view)->events(filter);
}

Task<Result<LogChunk>> Deployments::logs(Caller caller, DeploymentId id, Instance instance,
                                         LogQuery query) {
  auto d = get(caller, id, Operation::deployment_logs);
  if (!d) co_return std::unexpected(std::move(d.error()));
  if (const auto most = (*d)->spec.replicas; instance.replica < 0 || instance.replica >= most) {
    co_return fail(Code::not_found, "no_such_replica",
                   most == 1 ? std::string("It has one replica, number 0.")
                             : fmt::format("It has {} replicas, numbers 0 to {}.", most, most - 1));
  }
  const auto number = instance.attempt == 0 ? (*d)->attempt : instance.attempt;
  if (number == 0) co_return LogChunk{"", 0, 0, is_terminal((*d)->state)};  // never started
  if (number < 1 || number > (*d)->attempt) {
    co_return fail_field("attempt", "out_of_range",
                         fmt::format("Attempts so far: 1 to {}.", (*d)->attempt));
  }
  auto chunk =
      co_await runner_.logs((*d)->cluster, AttemptKey{id, number, instance.replica}, query);
  // Starting: the runtime has not made the log yet.
  if (!chunk && chunk.error().code == Code::not_found) {
    const bool over =
        is_terminal((*d)->state) || number < (*d)->attempt || (*d)->is_over(instance.replica);
    co_return LogChunk{"", query.offset < 0 ? 0 : query.offset, query.offset < 0 ? 0 : query.offset,
                       over};
  }
  co_return chunk;
}

Result<WaitExplanation::Named> Deployments::named(const Caller& caller,
                                                  const std::vector<DeploymentId>& ids) {
  auto mine = reads_.memberships(caller.principal.user);
  if (!mine) return std::unexpected(std::move(mine.error()));
  WaitExplanation::Named out;
  for (const auto& id : ids) {
    auto row = reads_.deployment(id);
    if (!row) return std::unexpected(std::move(row.error()));
    if (*row) out.emplace_back(id, is_member(**mine, (*row)->organization) ? (*row)->name : "");
  }
  return out;
}

std::vector<DeploymentId> blockers_of(const ClusterEngine& engine, const DeploymentId& id) {
  constexpr std::size_t kActive = 5'000;
  return engine.active_count() <= kActive ? engine.blockers(id) : std::vector<DeploymentId>{};
}

Task<Result<WaitExplanation>> Deployments::explain(Caller caller, DeploymentId id) {
  auto d = get(caller, id, Operation::deployment_explain);
  if (!d) co_return std::unexpected(std::move(d.error()));
  WaitExplanation out;
  out.deployment = *d;
  if (out.deployment->state == State::queued) {
    const ClusterId cluster = out.deployment->cluster;
    struct Found {
      std::optional<Explanation> detail;
      std::optional<StartForecast> forecast;
      std::vector<DeploymentId> blockers;
      Timestamp at;
    };
    std::function<Result<Found>(ReadView&, const ClusterEngine&)> look =
        [this, id, cluster](ReadView&, const ClusterEngine& engine) -> Result<Found> {
      const Timestamp at = clock_.now();
      const auto starts = scheduling_.outlook(cluster).promise(engine, engine_time(engine, at), id);
      return Found{engine.explain(id), starts.of(id), blockers_of(engine, id), at};
    };
    auto seen = co_await ask_engine<Found>(reads_, committer_, scheduling_, cluster, look);
    if (seen && !seen->value.detail) {
      // Started since, or the engine has not heard of it yet: then it looks now.
      auto heard = co_await look_now(committer_, cluster);
      if (!heard) co_return std::unexpected(std::move(heard.error()));
      seen = co_await ask_engine<Found>(reads_, committer_, scheduling_, cluster, look);
    }
    if (!seen) co_return std::unexpected(std::move(seen.error()));
    out.detail = std::move(seen->value.detail);
    out.forecast = seen->value.forecast;
    out.index = seen->index;
    if (out.detail) out.at = seen->value.at;
    auto blockers = named(caller, seen->value.blockers);
    if (!blockers) co_return std::unexpected(std::move(blockers.error()));
    out.blockers = std::move(*blockers);
    if (out.detail && out.detail->reason == Reason::waiting_for_dependency) {
      if (auto said = explain_dependencies(out); !said) co_return std::unexpected(said.error());
    }
    if (out.detail) {
      auto displaced = named(caller, out.detail->displaced);
      if (!displaced) co_return std::unexpected(std::move(displaced.error()));
      out.displaced = std::move(*displaced);
    }
    if (!out.detail) {  // started between the two reads
      auto again = get(caller, id, Operation::deployment_explain);
      if (!again) co_return std::unexpected(std::move(again.error()));
      out.deployment = *again;
    }
  }
  const Deployment& now = *out.deployment;
  if (!out.sentence.empty()) co_return out;
  if (out.detail) {
    auto cluster = reads_.cluster(now.cluster);
    if (!cluster) co_return std::unexpected(std::move(cluster.error()));
    out.sentence = explain_sentence(now, *out.detail, *cluster ? (*cluster)->name : "?",
                                    out.at.value_or(clock_.now()));
  } else {
    out.sentence = progress_sentence(now, clock_.now());
  }
  co_return out;
}

Result<std::shared_ptr<const Deployment>> Deployments::serve(const std::optional<Caller>& caller,
                                                             std::string_view organization,
                                                             std::string_view deployment) {
  using Shared = std::shared_ptr<const Deployment>;
  auto view = reads_.view();
  if (!view) return std::unexpected(std::move(view.error()));
  std::optional<OrganizationId> org = OrganizationId::parse(organization);
  if (!org) {
    auto row = (*view)->organization_by_name(organization);
    if (!row) return std::unexpected(std::move(row.error()));
    if (*row) org = (*row)->id;
  }
  if (!org) return not_found("deployment");
  Shared found;
  if (const auto id = DeploymentId::parse(deployment)) {
    auto row = reads_.deployment(*id);
    if (!row) return row;
    if (*row && (*row)->organization == *org) found = *row;
  } else {
    auto row = (*view)->deployment_by_name(*org, deployment);
    if (!row) return std::unexpected(std::move(row.error()));
    if (*row) found = std::make_shared<const Deployment>(std::move(**row));
  }
  if (found && found->spec.access == Access::everyone) return found;
  if (!caller) {
    return fail(Code::unauthenticated, "missing_token",
                "This endpoint needs a token: send 'Authorization: Bearer TOKEN'.");
  }
  auto role = authorize(reads_, *caller, *org, Operation::endpoint_use, "deployment");
  if (!role) return std::unexpected(std::move(role.error()));
  if (!found) return not_found("deployment");
  return found;
}

}  // namespace berth
