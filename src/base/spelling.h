// Typing errors: what somebody probably meant.
#pragma once
#include <span>
#include <string_view>

namespace berth {

// The known word that is nearest to `word` by insertions, deletions, replacements and swaps of
// neighbouring letters, whatever the case; empty when nothing is near.
[[nodiscard]] std::string_view nearest_word(std::string_view word,
                                            std::span<const std::string_view> known);

}  // namespace berth
