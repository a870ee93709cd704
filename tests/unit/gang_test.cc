// What news about one replica mean for its gang.
#include "service/gang.h"

#include <gtest/gtest.h>

namespace berth {
namespace {

class GangTest : public ::testing::Test {
 protected:
  explicit GangTest(Kind kind = Kind::job) {
    SeededRandom random(1);
    d_.id = DeploymentId::make({1'700'000'000'000'000}, random);
    d_.spec.kind = kind;
    d_.spec.replicas = 3;
    d_.state = State::starting;
    d_.attempt = 1;
    d_.gang.replicas.resize(3);
  }
  Observation seen(std::int32_t replica, Phase phase) const {
    Observation out;
    out.key = {d_.id, 1, replica};
    out.phase = phase;
    return out;
  }
  GangNews take(const Observation& seen) {
    return take_report(d_, seen.key.replica, report_of(d_, seen));
  }
  GangNews runs(std::int32_t replica) { return take(seen(replica, Phase::running)); }
  GangNews exits(std::int32_t replica, std::int32_t code) {
    auto ended = seen(replica, Phase::exited);
    ended.exit_code = code;
    return take(ended);
  }
  GangNews gone(std::int32_t replica) {
    ReplicaProgress report;
    report.phase = ReplicaPhase::gone;
    return take_report(d_, replica, report);
  }
  ReplicaPhase phase(std::size_t replica) const { return d_.gang.replicas.at(replica).phase; }
  void all_run() {
    for (const std::int32_t replica : {0, 1, 2}) (void)runs(replica);
    d_.state = State::running;
  }

  Deployment d_;
};

class ServiceGangTest : public GangTest {
 protected:
  ServiceGangTest() : GangTest(Kind::service) {}
};

TEST_F(GangTest, IsReadyWhenTheLastReplicaIs) {
  EXPECT_EQ(runs(2), GangNews::noted);
  EXPECT_EQ(runs(0), GangNews::noted);
  EXPECT_EQ(runs(0), GangNews::nothing) << "said before";
  EXPECT_EQ(runs(1), GangNews::ready);
}

TEST_F(GangTest, WhoIsDoneEarlyWasReady) {
  EXPECT_EQ(exits(0, 0), GangNews::noted);
  EXPECT_EQ(runs(1), GangNews::noted);
  EXPECT_EQ(exits(2, 0), GangNews::ready);
  d_.state = State::running;
  EXPECT_EQ(exits(1, 0), GangNews::over);
  EXPECT_FALSE(d_.gang.failed);
}

TEST_F(GangTest, NewsThatComeTwiceOrLateChangeNothing) {
  all_run();
  EXPECT_EQ(exits(1, 0), GangNews::noted);
  EXPECT_EQ(exits(1, 7), GangNews::nothing);
  EXPECT_EQ(runs(1), GangNews::nothing);
  EXPECT_EQ(gone(2), GangNews::nothing) << "nobody had told it to end";
  EXPECT_EQ(runs(3), GangNews::nothing) << "there is no such replica";
  EXPECT_EQ(take_report(d_, 2, report_of_refusal(2, "no such program")), GangNews::nothing)
      << "it runs";
  EXPECT_FALSE(d_.gang.failed);
}

TEST_F(GangTest, TheFirstThatFailsEndsTheOthers) {
  all_run();
  EXPECT_EQ(exits(0, 0), GangNews::noted);
  EXPECT_EQ(exits(2, 3), GangNews::failing);
  EXPECT_EQ(d_.gang.failed, 2);
  EXPECT_TRUE(d_.is_ending());
  EXPECT_EQ(failing_sentence(d_),
            "Replica 2 ended with exit status 3; the others are being stopped.");
  EXPECT_EQ(d_.living_keys(), (std::vector<AttemptKey>{{d_.id, 1, 1}}));
  EXPECT_EQ(gone(1), GangNews::over);
  EXPECT_EQ(phase(0), ReplicaPhase::exited);
  EXPECT_EQ(phase(1), ReplicaPhase::gone);
}

TEST_F(GangTest, AnEndThatWasAskedForIsNoFailure) {
  all_run();
  EXPECT_EQ(exits(0, 3), GangNews::failing);
  EXPECT_EQ(exits(1, 9), GangNews::noted);
  EXPECT_EQ(d_.gang.failed, 0) << "the first counts";
  EXPECT_EQ(phase(1), ReplicaPhase::gone);
  EXPECT_EQ(d_.gang.replicas.at(1).message, "");
  EXPECT_EQ(exits(2, 0), GangNews::over);
}

TEST_F(GangTest, TheLastThatFailsLeavesNobodyToStop) {
  all_run();
  EXPECT_EQ(exits(0, 0), GangNews::noted);
  EXPECT_EQ(exits(1, 0), GangNews::noted);
  EXPECT_EQ(exits(2, 5), GangNews::over);
  EXPECT_EQ(d_.gang.failed, 2);
}

TEST_F(GangTest, WhatCannotBeStartedEndsTheOthers) {
  EXPECT_EQ(runs(0), GangNews::noted);
  EXPECT_EQ(take_report(d_, 1, report_of_refusal(1, "no such program.")), GangNews::failing);
  EXPECT_EQ(d_.gang.replicas.at(1).message, "Replica 1 could not be started: no such program.");
  // The third was about to be started when it was told to end.
  EXPECT_EQ(take_report(d_, 2, report_of_refusal(2, "Attempt is over.")), GangNews::nothing);
  EXPECT_EQ(gone(2), GangNews::noted);
  EXPECT_EQ(gone(0), GangNews::over);
}

TEST_F(GangTest, AStoppedOneIsGoneWhenAllReplicasAre) {
  all_run();
  EXPECT_EQ(exits(1, 0), GangNews::noted);
  d_.state = State::stopping;
  EXPECT_EQ(gone(0), GangNews::noted);
  EXPECT_EQ(gone(1), GangNews::nothing);
  EXPECT_EQ(runs(2), GangNews::nothing);
  auto killed = seen(2, Phase::exited);
  killed.signal = 15;
  EXPECT_EQ(take(killed), GangNews::over);
  EXPECT_FALSE(d_.gang.failed);
}

TEST_F(GangTest, SentencesNameTheReplica) {
  auto ended = seen(2, Phase::exited);
  ended.exit_code = 0;
  EXPECT_EQ(report_of(d_, ended).message, "");
  ended.ready_timeout = true;
  EXPECT_EQ(report_of(d_, ended).message,
            "Replica 2 did not become ready in time and was stopped.");
  ended.message = "It vanished.";
  EXPECT_EQ(report_of(d_, ended).message, "Replica 2: It vanished.");
}

TEST_F(ServiceGangTest, AServiceThatEndsByItselfHasFailed) {
  all_run();
  EXPECT_EQ(exits(1, 0), GangNews::failing);
  EXPECT_EQ(failing_sentence(d_),
            "Replica 1 ended with exit status 0; the others are being stopped.");
}

TEST(Replicas, HaveNamesOfTheirOwn) {
  SeededRandom random(1);
  const auto id = DeploymentId::make({1'700'000'000'000'000}, random);
  EXPECT_EQ((AttemptKey{id, 2}).str(), id.str() + "-2");
  EXPECT_EQ((AttemptKey{id, 2, 13}).str(), id.str() + "-2.13");
}

TEST_F(ServiceGangTest, RequestsGoToTheReadyReplicas) {
  all_run();
  d_.gang.replicas[0].endpoint = "127.0.0.1:20000";
  d_.gang.replicas[2].endpoint = "127.0.0.1:20002";
  EXPECT_EQ(d_.endpoints(), (std::vector<std::string>{"127.0.0.1:20000", "127.0.0.1:20002"}));
  EXPECT_EQ(exits(1, 0), GangNews::failing);
  EXPECT_EQ(d_.endpoints(), (std::vector<std::string>{}));
}

}  // namespace
}  // namespace berth
