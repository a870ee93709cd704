#include "net/url.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "net/framing.h"

namespace berth::net {
namespace {

using Segments = std::vector<std::string>;

TEST(Url, DecodesEscapes) {
  EXPECT_EQ(percent_decode("a%20b+c").value(), "a b+c");
  EXPECT_EQ(percent_decode("%e2%82%ac").value(), "€");
  EXPECT_EQ(percent_decode("").value(), "");
  EXPECT_EQ(percent_decode("%25").value(), "%");
}

TEST(Url, RefusesWhatDoesNotDecodeToText) {
  for (const auto* text : {"%", "%4", "%g0", "%0g", "a%", "%00", "%80", "%c0%af", "%e0%80%af",
                           "%ff", "%ed%a0%80", "%f4%90%80%80", "%c3", "\xff", "\xc3\x28"}) {
    EXPECT_FALSE(percent_decode(text)) << text;
  }
}

TEST(Url, SplitsPathsBeforeDecoding) {
  EXPECT_EQ(path_segments("/").value(), Segments{});
  EXPECT_EQ(path_segments("/v1/a%20b").value(), (Segments{"v1", "a b"}));
  EXPECT_EQ(path_segments("/v1/").value(), (Segments{"v1", ""}));
  EXPECT_EQ(path_segments("/...").value(), (Segments{"..."}));
  EXPECT_EQ(path_segments("/a:b@c").value(), (Segments{"a:b@c"}));
}

TEST(Url, RefusesPathsThatCouldMeanAnother) {
  for (const auto* path :
       {"", "a", "//", "/a//b", "//a", "/.", "/..", "/a/../b", "/%2e%2e/b", "/.%2E", "/a/%2e",
        "/a%2fb", "/a%2Fb", "/a%5cb", "/a\\b", "/a%00", "/%zz"}) {
    EXPECT_FALSE(path_segments(path)) << path;
  }
}

TEST(Url, ReadsQueriesInOrder) {
  EXPECT_EQ(parse_query("a=1&b&a=2+3&=x&&c=%26%3d").value(),
            (Query{{"a", "1"}, {"b", ""}, {"a", "2 3"}, {"", "x"}, {"c", "&="}}));
  EXPECT_EQ(parse_query("").value(), Query{});
  EXPECT_EQ(parse_query("a=b=c").value(), (Query{{"a", "b=c"}}));
  for (const auto* query : {"a=%", "%=1", "a=%00", "a=%ff", "a=1&b=%4"}) {
    EXPECT_FALSE(parse_query(query)) << query;
  }
}

RC_GTEST_PROP(Url, EncodedTextDecodesToItself, (const std::vector<std::uint16_t>& letters)) {
  std::string text;
  for (const auto letter : letters) {
    if (letter % 0x800 < 0x80) {
      text += static_cast<char>(1 + letter % 0x7f);
    } else {
      text += static_cast<char>(0xc0 | (letter % 0x800) >> 6);
      text += static_cast<char>(0x80 | (letter & 0x3f));
    }
  }
  const auto encoded = percent_encode(text);
  RC_ASSERT(encoded.find_first_of("/?#&+ %\\") == std::string::npos || encoded.contains('%'));
  RC_ASSERT(encoded.find_first_of("/?#&+ \\") == std::string::npos);
  RC_ASSERT(percent_decode(encoded).value() == text);
}

TEST(Lists, FindWordsWithoutRegardToCase) {
  EXPECT_TRUE(list_has("keep-alive, Close", "close"));
  EXPECT_TRUE(list_has("close", "close"));
  EXPECT_FALSE(list_has("closed", "close"));
  EXPECT_FALSE(list_has("", "close"));
  EXPECT_FALSE(list_has(",,", "close"));
}

}  // namespace
}  // namespace berth::net
