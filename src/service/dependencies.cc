// What a deployment waits for besides room: others that have to come far enough before it.
#include <fmt/format.h>

#include <algorithm>

#include "service/deployments.h"
#include "service/json_text.h"

namespace berth {
namespace {

// Can it still come so far? Empty: it has.
std::optional<bool> still_comes(const Deployment& d, Milestone until) {
  const bool has_run = d.started_at.has_value() || d.state == State::succeeded;
  if (until == Milestone::running ? has_run : d.state == State::succeeded) return std::nullopt;
  return !is_terminal(d.state);
}

std::unexpected<Error> no_dependency(std::size_t index, const char* word, std::string message) {
  auto error = fail_field("/depends_on/" + std::to_string(index) + "/deployment", word, message);
  error.error().reason = word;
  return error;
}

}  // namespace

// Circles cannot come about: each names what was there before it.
Result<std::vector<Dependency>> Deployments::depend(
    Change& change, const Actor& actor, Deployment& d,
    const std::vector<DeploymentWish::After>& after) {
  std::vector<Dependency> unmet;
  if (after.empty()) return unmet;
  if (auto held = change.hold(d.cluster); !held) return std::unexpected(std::move(held.error()));
  for (std::size_t i = 0; i < after.size(); ++i) {
    const auto id = DeploymentId::parse(after[i].deployment);
    auto row = id ? change.tx.deployment(*id)
                  : change.tx.deployment_by_name(d.organization, after[i].deployment);
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row || (*row)->organization != d.organization || (*row)->cluster != d.cluster) {
      return no_dependency(i, "not_found",
                           fmt::format("There is no deployment {} on this cluster. Submit it "
                                       "first: what is waited for is there before what waits, so "
                                       "that nothing can wait for itself.",
                                       after[i].deployment));
    }
    Deployment& on = **row;
    const auto usual = on.spec.kind == Kind::job ? Milestone::succeeded : Milestone::running;
    const Dependency dependency{on.id, after[i].until.value_or(usual)};
    const auto same = [&](const Dependency& other) { return other.on == dependency.on; };
    if (std::ranges::any_of(d.spec.depends_on, same))
      return no_dependency(i, "duplicate", fmt::format("{} is named twice.", on.name));
    const auto comes = still_comes(on, dependency.until);
    if (comes && !*comes) {
      return no_dependency(i, "in_vain",
                           fmt::format("{} is {}: it will not be {} any more, so this one could "
                                       "never start.",
                                       on.name, to_text(on.state), to_text(dependency.until)));
    }
    d.spec.depends_on.push_back(dependency);
    if (!comes) continue;
    unmet.push_back(dependency);
    if (on.awaited) continue;
    on.awaited = true;
    on.version += 1;
    if (auto written = change.tx.update(on, on.state); !written)
      return std::unexpected(std::move(written.error()));
    JsonText data;
    data.add("by", d.id.str()).add("by_name", d.name);
    if (auto noted = change.record(actor, "deployment.awaited", on, data.str()); !noted)
      return std::unexpected(std::move(noted.error()));
    change.after([this, on] { reads_.changed(on); });
  }
  d.unmet = static_cast<std::int32_t>(unmet.size());
  return unmet;
}

Result<void> Deployments::explain_dependencies(WaitExplanation& out) {
  auto view = reads_.view();
  if (!view) return std::unexpected(std::move(view.error()));
  auto unmet = (*view)->dependencies(out.deployment->id);
  if (!unmet) return std::unexpected(std::move(unmet.error()));
  std::string waits, lost;
  for (const auto& one : *unmet) {
    auto on = (*view)->deployment(one.on);
    if (!on) return std::unexpected(std::move(on.error()));
    const std::string name = *on ? (*on)->name : one.on.str();
    const bool comes = *on && still_comes(**on, one.until).value_or(true);
    auto& list = comes ? waits : lost;
    list += fmt::format("{}{} to {} (it is {})", list.empty() ? "" : ", ", name,
                        one.until == Milestone::running ? "run" : "succeed",
                        *on ? to_text((*on)->state) : "deleted");
  }
  out.in_vain = !lost.empty();
  if (out.in_vain) {
    out.sentence = fmt::format(
        "It waits in vain for {}. Stop it, and submit it anew when what it "
        "needs is there.",
        lost);
  } else {
    out.sentence = fmt::format("It waits for {}.", waits);
  }
  return {};
}

}  // namespace berth
