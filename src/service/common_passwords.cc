#include "service/common_passwords.h"

#include <algorithm>
#include <array>
#include <string>

namespace berth {
namespace {

// Sorted, letters only. What is shorter than eight letters gets there with digits or by repetition.
constexpr std::array<std::string_view, 218> kWords{
    "abc",       "abcd",        "abcdef",    "abcdefg",       "abcdefgh",    "access",
    "account",   "adidas",      "admin",     "administrator", "alexander",   "amanda",
    "america",   "andrea",      "andrew",    "android",       "angel",       "angela",
    "animal",    "anthony",     "apple",     "arsenal",       "asdf",        "asdfgh",
    "asdfghjkl", "ashley",      "austin",    "baby",          "babygirl",    "bailey",
    "banana",    "barcelona",   "baseball",  "basketball",    "batman",      "beautiful",
    "berth",     "blink",       "bond",      "brandon",       "butterfly",   "canada",
    "carlos",    "changeit",    "changeme",  "charlie",       "cheese",      "chelsea",
    "chester",   "chicken",     "chocolate", "christian",     "computer",    "cookie",
    "cooper",    "corvette",    "cowboys",   "dallas",        "daniel",      "database",
    "default",   "deploy",      "diamond",   "docker",        "dolphin",     "dragon",
    "eagle",     "eminem",      "everyone",  "family",        "ferrari",     "flower",
    "football",  "forever",     "freedom",   "friend",        "friends",     "fuckyou",
    "gandalf",   "george",      "ginger",    "goodluck",      "google",      "guest",
    "guitar",    "hallo",       "hannah",    "harley",        "harrypotter", "heather",
    "hello",     "helloworld",  "hockey",    "hottie",        "hunter",      "iceman",
    "iloveyou",  "internet",    "jackson",   "jasmine",       "jennifer",    "jessica",
    "jesus",     "jordan",      "joshua",    "junior",        "justin",      "killer",
    "kitten",    "kubernetes",  "lakers",    "letmein",       "liverpool",   "login",
    "london",    "love",        "lovely",    "loveme",        "lucky",       "maggie",
    "manager",   "manchester",  "marina",    "martin",        "master",      "matrix",
    "matthew",   "maverick",    "melissa",   "merlin",        "michael",     "michelle",
    "mickey",    "mickeymouse", "mohammed",  "money",         "monkey",      "monster",
    "morgan",    "mother",      "mustang",   "naruto",        "nicole",      "ninja",
    "nintendo",  "nothing",     "oliver",    "orange",        "pass",        "passw",
    "password",  "passwort",    "patrick",   "peanut",        "pepper",      "phoenix",
    "pokemon",   "porsche",     "princess",  "private",       "purple",      "qazwsx",
    "qazwsxedc", "qwer",        "qwert",     "qwerty",        "qwertyuiop",  "qwertz",
    "rainbow",   "ranger",      "richard",   "robert",        "root",        "samantha",
    "samsung",   "scooter",     "secret",    "server",        "shadow",      "shopping",
    "slayer",    "snoopy",      "soccer",    "spiderman",     "spring",      "starwars",
    "steelers",  "summer",      "sunshine",  "superman",      "superuser",   "sweety",
    "sysadmin",  "system",      "taylor",    "teacher",       "temp",        "temporary",
    "test",      "testing",     "thomas",    "thunder",       "tiger",       "tigger",
    "toor",      "trustno",     "tweety",    "unknown",       "user",        "victoria",
    "welcome",   "whatever",    "william",   "winner",        "winter",      "yankees",
    "zxcvbn",    "zxcvbnm"};

char plain_letter(char c) {
  switch (c) {
    case '0':
      return 'o';
    case '1':
    case '!':
    case '|':
      return 'i';
    case '3':
      return 'e';
    case '4':
    case '@':
      return 'a';
    case '5':
    case '$':
      return 's';
    case '7':
      return 't';
    default:
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  }
}

bool is_letter(char c) { return c >= 'a' && c <= 'z'; }

bool is_word(std::string_view text) {
  return std::find(kWords.begin(), kWords.end(), text) != kWords.end();
}

// "word", or the word twice and more.
bool is_words(std::string_view text) {
  for (std::size_t n = 3; n <= text.size(); ++n) {
    if (text.size() % n != 0 || !is_word(text.substr(0, n))) continue;
    bool repeats = true;
    for (std::size_t i = n; repeats && i < text.size(); i += n)
      repeats = text.substr(i, n) == text.substr(0, n);
    if (repeats) return true;
  }
  return false;
}

// A well-known word with at most six signs that are no letters before and behind it.
bool is_dressed_word(std::string_view lower) {
  constexpr std::size_t kMost = 6;
  for (std::size_t front = 0; front <= kMost && front < lower.size(); ++front) {
    for (std::size_t back = 0; back <= kMost && front + back < lower.size(); ++back) {
      const auto ahead = lower.substr(0, front), behind = lower.substr(lower.size() - back);
      if (std::any_of(ahead.begin(), ahead.end(), is_letter) ||
          std::any_of(behind.begin(), behind.end(), is_letter))
        continue;
      std::string core(lower.substr(front, lower.size() - front - back));
      std::transform(core.begin(), core.end(), core.begin(), plain_letter);
      if (is_words(core)) return true;
      // "1" also stands for l.
      std::replace(core.begin(), core.end(), 'i', 'l');
      if (is_words(core)) return true;
    }
  }
  return false;
}

// "abcabcabc", "11112222": a piece of at most six signs over and over, or two signs alone.
bool repeats(std::string_view text) {
  std::string signs(text);
  std::sort(signs.begin(), signs.end());
  if (std::unique(signs.begin(), signs.end()) - signs.begin() <= 2) return true;
  for (std::size_t period = 1; period <= 6 && 2 * period <= text.size(); ++period) {
    if (std::equal(text.begin() + static_cast<std::ptrdiff_t>(period), text.end(), text.begin()))
      return true;
  }
  return false;
}

// Made of two runs at most along a row or column of the keyboard, in either direction.
bool walks(std::string_view text) {
  static constexpr std::array<std::string_view, 9> kRows{"01234567890123456789",
                                                         "qwertyuiop",
                                                         "qwertzuiop",
                                                         "asdfghjkl",
                                                         "zxcvbnm",
                                                         "abcdefghijklmnopqrstuvwxyz",
                                                         "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
                                                         "1q2w3e4r5t6y7u8i9o0p",
                                                         "q1w2e3r4t5y6u7i8o9p0"};
  std::size_t runs = 0;
  while (!text.empty() && runs < 3) {
    std::size_t longest = 1;
    for (const auto row : kRows) {
      std::string back(row.rbegin(), row.rend());
      for (const std::string_view line : {row, std::string_view(back)}) {
        while (longest < text.size() &&
               line.find(text.substr(0, longest + 1)) != std::string_view::npos)
          ++longest;
      }
    }
    if (longest < 3) return false;
    text.remove_prefix(longest);
    ++runs;
  }
  return text.empty();
}

}  // namespace

bool is_common_password(std::string_view password) {
  std::string lower(password);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return repeats(lower) || walks(lower) || is_dressed_word(lower);
}

}  // namespace berth
