// Idempotency-Key: the reply is stored in the transaction of its effect, so a repetition gets the
// same answer and causes nothing. What a reply looks like is the caller's business. Replies may
// hold secrets that are shown once, so the database has them sealed by the key, and of the key a
// hash.
#pragma once
#include <functional>
#include <optional>
#include <variant>

#include "service/change.h"
#include "service/sealed.h"

namespace berth {

struct IdempotencyKey {
  std::string scope;  // caller, method and path
  std::string key;
  Digest fingerprint;  // of the body

  [[nodiscard]] std::string phrase() const { return scope + " " + key; }
  [[nodiscard]] std::string name() const {
    const Digest digest = sha256("idempotency key " + phrase());
    return to_hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
  }
};

// What a use case with an effect answers: its value, or the stored reply of the first time.
template <class T>
using Once = std::variant<T, StoredReply>;

// The reply of the first time, for the same request.
template <class T>
Result<Once<T>> first_reply(Change& change, const IdempotencyKey& key) {
  auto stored = change.tx.stored_reply(key.scope, key.name());
  if (!stored) return std::unexpected(std::move(stored.error()));
  if (!*stored || (*stored)->fingerprint != key.fingerprint) {
    return fail(
        Code::failed_precondition, "idempotency_key_reused",
        "This Idempotency-Key was used with another body; use a new key for a new request.");
  }
  auto body = unseal((*stored)->body, key.phrase());
  if (!body) return fail(Code::internal, "damaged_reply", "A stored reply cannot be read.");
  (*stored)->body = std::move(*body);
  return Once<T>(std::move(**stored));
}

// Wraps a unit of work. `render` makes the reply to store from the value.
template <class T>
std::move_only_function<Result<Once<T>>(Change&)> once(
    std::optional<IdempotencyKey> key, std::function<StoredReply(const T&)> render,
    std::move_only_function<Result<T>(Change&)> unit) {
  return [key = std::move(key), render = std::move(render),
          unit = std::move(unit)](Change& change) mutable -> Result<Once<T>> {
    if (key) {
      auto claimed = change.tx.claim_reply(key->scope, key->name(), key->fingerprint, change.now);
      if (!claimed) return std::unexpected(std::move(claimed.error()));
      if (!*claimed) return first_reply<T>(change, *key);
    }
    auto value = unit(change);
    if (!value) return std::unexpected(std::move(value.error()));
    if (key) {
      StoredReply reply = render(*value);
      reply.fingerprint = key->fingerprint;
      reply.body = seal(reply.body, key->phrase());
      auto kept = change.tx.store_reply(key->scope, key->name(), reply, change.now);
      if (!kept) return std::unexpected(std::move(kept.error()));
    }
    return Once<T>(std::move(*value));
  };
}

}  // namespace berth
