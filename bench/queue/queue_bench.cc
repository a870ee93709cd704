// What the queues outside of the database cost: publishing, writing a long queue anew, and the time
// from a change to whoever waits for it. Redis is started for it, on this machine.
#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/random.h"
#include "queue/memory/memory_queue.h"
#include "queue/redis/redis_queue.h"

namespace {

using namespace berth;
using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

double seconds_since(Steady::time_point began) {
  return std::chrono::duration<double>(Steady::now() - began).count();
}

template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

class Server {
 public:
  Server() {
    std::string name = (std::filesystem::temp_directory_path() / "berth-bench-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
    folder_ = name;
    const auto command = std::string(BERTH_REDIS_SCRIPT) + " start " + folder_ + " " +
                         std::to_string(getpid()) + " >/dev/null";
    if (std::system(command.c_str()) != 0) throw std::runtime_error("Redis does not start");
  }
  ~Server() {
    const auto command = std::string(BERTH_REDIS_SCRIPT) + " stop " + folder_ + " immediate";
    if (std::system(command.c_str()) == 0) std::filesystem::remove_all(folder_);
  }
  [[nodiscard]] std::string url() const { return "redis+unix://" + folder_ + "/redis.sock"; }

 private:
  std::string folder_;
};

class Bench {
 public:
  explicit Bench(WorkQueue& queue) : queue_(queue) {}

  // Changes in batches, spread over ten clusters: half of them enter, half of them leave.
  double publish(std::size_t batch, double seconds) {
    std::vector<ClusterId> clusters;
    for (int i = 0; i < 10; ++i) clusters.push_back(id<ClusterId>());
    for (const auto& cluster : clusters) must(queue_.rebuild(cluster, {}, 0));
    std::vector<QueueChange> changes(batch);
    std::vector<WaitingEntry> waiting;
    std::int64_t seq = 0;
    const auto began = Steady::now();
    while (seconds_since(began) < seconds) {
      for (auto& change : changes) {
        ++seq;
        const auto& cluster = clusters[static_cast<std::size_t>(seq / 2) % clusters.size()];
        if (seq % 2 == 0) {
          waiting.push_back(entry(static_cast<std::uint64_t>(seq)));
          change = {seq, cluster, WakeKind::queued, waiting.back(), {}};
        } else {
          change = {seq, cluster, WakeKind::changed, {}, {}};
          if (!waiting.empty()) change.leave = waiting.back().id;
        }
      }
      must(queue_.publish(changes));
    }
    const double rate = static_cast<double>(seq) / seconds_since(began);
    for (const auto& cluster : clusters) must(queue_.remove(cluster));
    return rate;
  }

  void rebuild(std::size_t count) {
    std::vector<WaitingEntry> all;
    all.reserve(count);
    for (std::size_t i = 0; i < count; ++i) all.push_back(entry(i));
    const auto cluster = id<ClusterId>();
    auto began = Steady::now();
    must(queue_.rebuild(cluster, all, 1));
    const double first = seconds_since(began);
    began = Steady::now();
    must(queue_.rebuild(cluster, all, 2));
    const double again = seconds_since(began);
    began = Steady::now();
    const auto content = must(queue_.content(cluster));
    const double read = seconds_since(began);
    if (content.high.size() + content.low.size() != count) throw std::runtime_error("lost some");
    began = Steady::now();
    must(queue_.marks(std::vector{cluster}));
    const double mark = seconds_since(began);
    std::printf(
        "| %zu waiting: new %.2f s, in place of another %.2f s, read %.2f s, mark %.0f us |\n",
        count, first, again, read, mark * 1e6);
    must(queue_.remove(cluster));
  }

  // From the call of publish to the reader's return, while nothing else happens.
  void latency(int rounds) {
    auto reader = must(queue_.reader("bench"));
    const auto cluster = id<ClusterId>();
    must(queue_.rebuild(cluster, {}, 0));
    std::vector<double> taken;
    std::atomic<int> done = 0;
    Steady::time_point began;
    std::thread waits([&] {
      while (done.load() < rounds) {
        if (must(reader->wait(milliseconds(1000))).empty()) continue;
        taken.push_back(seconds_since(began));
        done.fetch_add(1);
        done.notify_one();
      }
    });
    for (int i = 0; i < rounds; ++i) {
      std::this_thread::sleep_for(milliseconds(2));  // so that the reader waits again
      began = Steady::now();
      must(queue_.publish(std::vector{QueueChange{
          i + 1, cluster, WakeKind::queued, entry(static_cast<std::uint64_t>(i)), {}}}));
      done.wait(i);
    }
    waits.join();
    std::sort(taken.begin(), taken.end());
    std::printf("| wake: median %.0f us, 99%% %.0f us |\n", taken[taken.size() / 2] * 1e6,
                taken[taken.size() * 99 / 100] * 1e6);
    must(queue_.remove(cluster));
  }

 private:
  template <class Id>
  Id id() {
    return Id::make(Timestamp{1'700'000'000'000'000 + ++made_}, random_);
  }
  WaitingEntry entry(std::uint64_t order) {
    return {id<DeploymentId>(),
            order % 10 == 0 ? Priority::high : Priority::low,
            order,
            {500, std::int64_t{1} << 30, 0}};
  }

  WorkQueue& queue_;
  SeededRandom random_{1};
  std::int64_t made_ = 0;
};

void run(const char* name, WorkQueue& queue, double seconds, std::size_t longest) {
  std::printf("\n| %s |\n|---|\n", name);
  Bench bench(queue);
  for (const std::size_t batch : {1, 100, 1000}) {
    std::printf("| publish, %zu at once: %.0f changes/s |\n", batch, bench.publish(batch, seconds));
  }
  for (std::size_t count = 100'000; count <= longest; count *= 10) bench.rebuild(count);
  bench.latency(500);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Benchmark of the queues"};
  double seconds = 3;
  std::size_t longest = 1'000'000;
  app.add_option("--seconds", seconds, "for each figure of publishing");
  app.add_option("--waiting", longest, "in the longest queue");
  CLI11_PARSE(app, argc, argv);
  try {
    const Server server;
    redis::RedisQueue redis(must(redis::parse_redis_url(server.url())));
    memory::MemoryQueue memory;
    run("Redis, unix socket", redis, seconds, longest);
    run("memory", memory, seconds, longest);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "queue_bench: %s\n", e.what());
    return 1;
  }
  return 0;
}
