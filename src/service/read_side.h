// The fast side: pooled database views and small caches that the writer keeps true. A cache entry
// is dropped when a commit changes its row, before the change is answered; a reader that raced with
// the commit cannot put an old row back, because it shows the generation that it started from.
#pragma once
#include <array>
#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "store/store.h"

namespace berth {

template <class Key, class Value, class Hash = std::hash<Key>>
class Cache {
 public:
  explicit Cache(std::size_t capacity) : per_shard_(capacity / kShards + 1) {}

  [[nodiscard]] std::optional<Value> get(const Key& key) {
    Shard& shard = shard_of(key);
    const std::lock_guard lock(shard.mutex);
    const auto found = shard.entries.find(key);
    if (found == shard.entries.end()) return std::nullopt;
    return std::optional<Value>(std::in_place, found->second);  // Value may itself be an optional
  }
  // Take before reading the database, show at put().
  [[nodiscard]] std::uint64_t generation(const Key& key) {
    Shard& shard = shard_of(key);
    const std::lock_guard lock(shard.mutex);
    return shard.generation;
  }
  void put(const Key& key, Value value, std::uint64_t generation) {
    Shard& shard = shard_of(key);
    const std::lock_guard lock(shard.mutex);
    if (shard.generation != generation) return;
    // Full: start afresh. Cheaper than bookkeeping on every read, and hot entries are back at once.
    if (shard.entries.size() >= per_shard_) shard.entries.clear();
    shard.entries.insert_or_assign(key, std::move(value));
  }
  void erase(const Key& key) {
    Shard& shard = shard_of(key);
    const std::lock_guard lock(shard.mutex);
    ++shard.generation;
    shard.entries.erase(key);
  }
  void clear() {
    for (auto& shard : shards_) {
      const std::lock_guard lock(shard.mutex);
      ++shard.generation;
      shard.entries.clear();
    }
  }

 private:
  static constexpr std::size_t kShards = 16;
  struct Shard {
    std::mutex mutex;
    std::uint64_t generation = 0;
    std::unordered_map<Key, Value, Hash> entries;
  };
  Shard& shard_of(const Key& key) { return shards_[Hash{}(key) / 7 % kShards]; }

  const std::size_t per_shard_;
  std::array<Shard, kShards> shards_;
};

// Views of the database, one per thread at a time.
class ViewPool {
 public:
  explicit ViewPool(Store& store) : store_(store) {}

  class Lease {
   public:
    Lease(ViewPool& pool, std::unique_ptr<ReadView> view) : pool_(&pool), view_(std::move(view)) {}
    Lease(Lease&&) noexcept = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (view_) pool_->give_back(std::move(view_));
    }
    ReadView* operator->() const { return view_.get(); }
    ReadView& operator*() const { return *view_; }

   private:
    ViewPool* pool_;
    std::unique_ptr<ReadView> view_;
  };
  Result<Lease> lease();

 private:
  void give_back(std::unique_ptr<ReadView> view);
  Store& store_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<ReadView>> idle_;
};

struct RoleKey {
  OrganizationId organization;
  UserId user;
  friend bool operator==(const RoleKey&, const RoleKey&) = default;
};
struct RoleKeyHash {
  std::size_t operator()(const RoleKey& key) const noexcept {
    return std::hash<OrganizationId>{}(key.organization) * 31 + std::hash<UserId>{}(key.user);
  }
};

struct Credential {
  Principal principal;
  Timestamp expires_at;
};

// Everything that is read far more often than it is written.
class ReadSide {
 public:
  explicit ReadSide(Store& store, const SteadyTime& time = kSteadyTime)
      : views_(store), time_(time) {}

  [[nodiscard]] Result<ViewPool::Lease> view() { return views_.lease(); }

  [[nodiscard]] Result<std::shared_ptr<const Deployment>> deployment(const DeploymentId& id);
  [[nodiscard]] Result<std::optional<Role>> role(const OrganizationId& org, const UserId& user);
  [[nodiscard]] Result<std::shared_ptr<const Cluster>> cluster(const ClusterId& id);
  // Organizations of a user, with the role in each.
  using Memberships = std::vector<std::pair<OrganizationId, Role>>;
  [[nodiscard]] Result<std::shared_ptr<const Memberships>> memberships(const UserId& user);
  // By the SHA-256 of a token. Empty: unknown. Expiry is for the caller to compare.
  [[nodiscard]] Result<std::optional<Credential>> credential(const Digest& token);

  // What another process may have changed: from the history.
  void heard(const Event& event);
  // Where others write, too, what is remembered counts only until then: as long as their changes
  // are surely heard of. Without a call: for ever.
  void rely_until(std::chrono::steady_clock::time_point until) { reliable_until_ = until; }

  // Called by units of work after their commit.
  void changed(const Deployment& d);
  void changed(const ClusterId& id);
  void roles_changed();
  void credential_changed(const Digest& token) { credentials_.erase(token); }
  void credentials_changed() { credentials_.clear(); }

  // Grows with every change of any deployment, and of any cluster, which may be shared with others:
  // what was derived from lists is old then.
  [[nodiscard]] std::uint64_t deployments_generation() const {
    return deployments_generation_.load(std::memory_order_acquire);
  }

 private:
  [[nodiscard]] bool is_reliable() const {
    const auto until = reliable_until_.load(std::memory_order_relaxed);
    return until == std::chrono::steady_clock::time_point::max() || time_.now() < until;
  }
  // The common road: remembered, else the database, else remember.
  template <class Value, class CacheType, class Key, class Read>
  Result<Value> through(CacheType& cache, const Key& key, Read read);

  ViewPool views_;
  const SteadyTime& time_;
  std::atomic<std::chrono::steady_clock::time_point> reliable_until_ =
      std::chrono::steady_clock::time_point::max();
  std::atomic<std::uint64_t> deployments_generation_ = 1;
  Cache<DeploymentId, std::shared_ptr<const Deployment>> deployments_{4096};
  Cache<ClusterId, std::shared_ptr<const Cluster>> clusters_{1024};
  Cache<RoleKey, std::optional<Role>, RoleKeyHash> roles_{16'384};
  Cache<UserId, std::shared_ptr<const Memberships>> memberships_{4096};
  Cache<Digest, Credential, DigestHash> credentials_{16'384};
};

}  // namespace berth
