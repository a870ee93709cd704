#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/base64.h"
#include "base/hash.h"
#include "base/id.h"
#include "base/time.h"
#include "core/ids.h"

namespace berth {
namespace {

TEST(Base64, IsTheOneOfTheStandard) {
  // RFC 4648, section 10.
  EXPECT_EQ(to_base64(""), "");
  EXPECT_EQ(to_base64("f"), "Zg==");
  EXPECT_EQ(to_base64("fo"), "Zm8=");
  EXPECT_EQ(to_base64("foo"), "Zm9v");
  EXPECT_EQ(to_base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(to_base64("\xFB\xFF"), "+/8=");
  EXPECT_EQ(from_base64("Zm9vYmFy"), "foobar");
  EXPECT_EQ(from_base64(""), "");
  for (const auto* text :
       {"Z", "Zg", "Zg=", "Zg===", "Z===", "====", "Zg==Zg==", "Zm9\n", "Zh==", "Zm9=", "Zm-_"}) {
    EXPECT_EQ(from_base64(text), std::nullopt) << text;
  }
}

RC_GTEST_PROP(Base64, ComesBack, (std::string bytes)) {
  RC_ASSERT(from_base64(to_base64(bytes)) == bytes);
}

TEST(Ids, SayWhenTheyWereMade) {
  SeededRandom random(1);
  EXPECT_EQ(DeploymentId::make(Timestamp{1'767'323'045'678'901}, random).made_at(),
            Timestamp{1'767'323'045'678'000});
}

TEST(Time, PrintsAndReadsRfc3339) {
  const Timestamp t{1'767'323'045'678'901};
  EXPECT_EQ(to_rfc3339(t), "2026-01-02T03:04:05.678901Z");
  EXPECT_EQ(from_rfc3339("2026-01-02T03:04:05.678901Z"), t);
  EXPECT_EQ(from_rfc3339("2026-01-02T05:04:05.678901+02:00"), t);
  EXPECT_EQ(from_rfc3339("2026-01-02T03:04:05Z"), Timestamp{1'767'323'045'000'000});
}

TEST(Time, RefusesWhatIsNoTime) {
  for (const auto* text :
       {"", "2026", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-02T24:00:00Z",
        "2026-01-02T03:04:05", "2026-01-02T03:04:05+2:00", "2026-01-02 03:04:05Z",
        "-026-01-02T03:04:05Z"}) {
    EXPECT_FALSE(from_rfc3339(text)) << text;
  }
}

TEST(Time, SpeaksOfDurationsAsPeopleDo) {
  using std::chrono::seconds;
  EXPECT_EQ(humane(std::chrono::milliseconds(340)), "340ms");
  EXPECT_EQ(humane(seconds(12)), "12s");
  EXPECT_EQ(humane(seconds(303)), "5m 03s");
  EXPECT_EQ(humane(seconds(7800)), "2h 10m");
  EXPECT_EQ(humane(seconds(277'200)), "3d 5h");
}

RC_GTEST_PROP(Ids, TextRoundTripsAndSortsAsBytesDo, (std::uint64_t seed)) {
  SeededRandom random(seed);
  const Timestamp now{static_cast<std::int64_t>(seed % 4'000'000'000'000'000)};
  const auto a = DeploymentId::make(now, random), b = DeploymentId::make(now, random);
  RC_ASSERT(DeploymentId::parse(a.str()) == a);
  RC_ASSERT((a < b) == (a.str() < b.str()));
}

TEST(Ids, OlderSortsFirst) {
  SeededRandom random(1);
  const auto a = UserId::make({1'700'000'000'000'000}, random);
  const auto b = UserId::make({1'700'000'000'000'001}, random);
  EXPECT_LT(a, b);
}

TEST(Ids, RefusesOtherPrefixesAndLetters) {
  SeededRandom random(7);
  const std::string good = UserId::make({1}, random).str();
  EXPECT_TRUE(UserId::parse(good));
  EXPECT_FALSE(ClusterId::parse(good));
  EXPECT_FALSE(UserId::parse(good + "0"));
  EXPECT_FALSE(UserId::parse("usr_" + std::string(26, 'z')));  // more than 128 bits
  EXPECT_FALSE(UserId::parse("usr_" + std::string(26, 'u')));  // not in the alphabet
}

TEST(Hash, KnownAnswer) {
  const Digest d = sha256("abc");
  EXPECT_EQ(to_hex({reinterpret_cast<const char*>(d.data()), d.size()}),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace berth
