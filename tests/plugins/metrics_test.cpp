// SPDX-License-Identifier: Apache-2.0
// What Prometheus is told.
#include "plugins/observe/metrics.hpp"

#include "core/fd.hpp"

#include <boost/json.hpp>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>

namespace uidnfs::plugins::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

class MetricsTest : public ::testing::Test {
protected:
    Metrics& metrics(Metrics::PerVolume per_volume = Metrics::PerVolume::no) {
        if (!made_) {
            made_ = std::make_unique<Metrics>(Metrics::Deps{
                [this] { return gauges; },
                per_volume,
                [](std::uint32_t pid) {
                    return pid == 0 ? std::nullopt : std::optional<std::uint64_t>(pid * 1000);
                },
                std::chrono::sys_days(std::chrono::January / 31 / 2026) + 12h});
        }
        return *made_;
    }
    void decide(Decision::Event event, Decision::Event asked, int code = 0) {
        metrics().decided(
            {.event = event,
             .volume = {Dialect::docker, "web"},
             .reference = "1",
             .asked = asked,
             .code = code,
             .took = 30ms}
        );
    }
    static MountedVolume volume(const std::string& name, std::uint32_t keeper) {
        return {{Dialect::docker, name}, {{keeper, 1}, "/m", "/c"}, "nas1:/a", {}};
    }
    void tell(const MountedVolume& from, const std::string& json) {
        metrics().status_told(from, boost::json::parse(json).as_object());
    }
    void expect_line(const std::string& line) {
        EXPECT_THAT(metrics().render(), HasSubstr("\n" + line + "\n"));
    }

    Gauges gauges;

private:
    std::unique_ptr<Metrics> made_;
};

TEST_F(MetricsTest, mounts_are_counted_and_timed) {
    decide(Decision::Event::mount, Decision::Event::mount);
    decide(Decision::Event::mount, Decision::Event::mount);
    decide(Decision::Event::refused, Decision::Event::mount, EACCES);
    decide(Decision::Event::refused, Decision::Event::remove, EBUSY);
    expect_line(R"(uidnfs_mount_requests_total{plugin="docker",result="ok"} 2)");
    expect_line(R"(uidnfs_mount_requests_total{plugin="docker",result="refused"} 1)");
    expect_line(R"(uidnfs_errors_total{code="EACCES",plugin="docker"} 1)");
    expect_line(R"(uidnfs_errors_total{code="EBUSY",plugin="docker"} 1)");
    expect_line("uidnfs_mount_duration_seconds_count 3");
    expect_line(R"(uidnfs_mount_duration_seconds_bucket{le="0.05"} 3)");
    expect_line(R"(uidnfs_mount_duration_seconds_bucket{le="0.025"} 0)");
}

TEST_F(MetricsTest, series_are_there_before_their_first_event) {
    for (const auto* plugin : {"docker", "cloudfoundry"}) {
        for (const auto* result : {"ok", "refused"}) {
            expect_line(fmt::format(
                R"(uidnfs_mount_requests_total{{plugin="{}",result="{}"}} 0)", plugin, result
            ));
        }
        expect_line(fmt::format(R"(uidnfs_errors_total{{code="EACCES",plugin="{}"}} 0)", plugin));
    }
}

TEST_F(MetricsTest, an_end_with_loss_is_counted) {
    expect_line("uidnfs_data_lost_total 0");
    decide(Decision::Event::data_lost, Decision::Event::data_lost);
    decide(Decision::Event::worker_died, Decision::Event::worker_died);
    expect_line("uidnfs_data_lost_total 1");
    expect_line("uidnfs_workers_died_total 1");
}

TEST_F(MetricsTest, workers_that_were_replaced_are_counted_and_upgrades_are_not) {
    const auto taken = [&](std::uint32_t keeper, int takeovers, const std::string& upgrades) {
        const auto since = keeper == 1 ? "2026-01-31T11:59:59Z" : "2026-01-31T12:00:01Z";
        tell(
            volume(std::to_string(keeper), keeper),
            fmt::format(
                R"({{"since":"{}","takeovers":{},"upgrades":{}}})", since, takeovers, upgrades
            )
        );
    };
    taken(1, 5, "0");  // before this daemon began
    expect_line("uidnfs_workers_replaced_total 0");
    taken(1, 7, "0");
    taken(1, 7, "0");
    expect_line("uidnfs_workers_replaced_total 2");
    taken(1, 9, "1");  // one died, one was upgraded, between two questions
    expect_line("uidnfs_workers_replaced_total 3");
    taken(2, 1, "0");  // before the first question
    expect_line("uidnfs_workers_replaced_total 4");
    taken(2, 9, "null");  // a keeper that does not count them
    expect_line("uidnfs_workers_replaced_total 4");
}

TEST_F(MetricsTest, keepers_that_were_killed_and_replaced_are_counted) {
    expect_line("uidnfs_keepers_lost_total 0");
    for (int i = 0; i < 2; ++i) decide(Decision::Event::keeper_lost, Decision::Event::keeper_lost);
    decide(Decision::Event::keeper_replaced, Decision::Event::keeper_replaced);
    expect_line("uidnfs_keepers_lost_total 2");
    expect_line("uidnfs_keepers_replaced_total 1");
}

TEST_F(MetricsTest, volumes_and_their_health) {
    gauges.volumes[{Dialect::docker, State::mounted}] = 3;
    gauges.volumes[{Dialect::cloudfoundry, State::failed}] = 1;
    gauges.health[Health::stale] = 2;
    gauges.audit_waiting = 4;
    gauges.audit_lost = 5;
    gauges.damaged_state_files = 6;
    expect_line(R"(uidnfs_mounts{plugin="docker",state="mounted"} 3)");
    expect_line(R"(uidnfs_mounts{plugin="cloudfoundry",state="failed"} 1)");
    expect_line(R"(uidnfs_mounts_by_health{health="stale"} 2)");
    expect_line("uidnfs_audit_waiting_lines 4");
    expect_line("uidnfs_audit_lost_lines_total 5");
    expect_line("uidnfs_damaged_state_files 6");
}

TEST_F(MetricsTest, nfs_calls_of_all_workers_are_summed_and_stay_when_one_ends) {
    const auto* status = R"({"worker_pid":7,"state":"healthy","bytes_not_committed":100,
        "calls":{"retransmits":2,"latency_bounds":[0.001,1],"procedures":{"READ":
        {"count":4,"errors":1,"total_seconds":0.5,"latency":[1,2,1]}}}})";
    tell(volume("a", 1), status);
    tell(volume("b", 2), status);
    expect_line(R"(uidnfs_nfs_calls_total{procedure="READ"} 8)");
    expect_line(R"(uidnfs_nfs_errors_total{procedure="READ"} 2)");
    expect_line("uidnfs_nfs_retransmits_total 4");
    expect_line(R"(uidnfs_nfs_call_duration_seconds_bucket{procedure="READ",le="0.001"} 2)");
    expect_line(R"(uidnfs_nfs_call_duration_seconds_bucket{procedure="READ",le="1"} 6)");
    expect_line(R"(uidnfs_nfs_call_duration_seconds_bucket{procedure="READ",le="+Inf"} 8)");
    expect_line(R"(uidnfs_nfs_call_duration_seconds_sum{procedure="READ"} 1)");
    expect_line("uidnfs_uncommitted_bytes 200");
    expect_line("uidnfs_worker_resident_bytes 14000");
    metrics().worker_gone(volume("a", 1));
    expect_line(R"(uidnfs_nfs_calls_total{procedure="READ"} 8)");
    expect_line("uidnfs_uncommitted_bytes 100");
}

TEST_F(MetricsTest, a_worker_that_does_not_answer_for_a_while_is_not_counted_twice) {
    const auto status = [](int calls) {
        return fmt::format(
            R"({{"worker_pid":7,"state":"healthy","bytes_not_committed":100,"calls":{{"retransmits":0,
                "latency_bounds":[],"procedures":{{"READ":{{"count":{}}}}}}}}})",
            calls
        );
    };
    tell(volume("a", 1), status(4));
    tell(
        volume("a", 1),
        R"({"worker_pid":7,"state":"stale","bytes_not_committed":null,"calls":null})"
    );
    expect_line(R"(uidnfs_nfs_calls_total{procedure="READ"} 4)");
    expect_line("uidnfs_uncommitted_bytes 100");
    tell(volume("a", 1), status(5));
    expect_line(R"(uidnfs_nfs_calls_total{procedure="READ"} 5)");
}

TEST_F(MetricsTest, connections_without_a_reserved_port_are_told_where_one_is_wanted) {
    const auto status = [](std::string_view option) {
        return fmt::format(R"({{"local_ports":[812,1023,40123],"options":{{"{}":""}}}})", option);
    };
    tell(volume("a", 1), status("noresvport"));
    expect_line("uidnfs_unreserved_connections 0");
    tell(volume("a", 1), status("resvport"));
    tell(volume("b", 2), status("resvport"));
    expect_line("uidnfs_unreserved_connections 2");
    tell(volume("b", 2), R"({"local_ports":null,"options":{"resvport":""}})");
    expect_line("uidnfs_unreserved_connections 2");
    metrics().worker_gone(volume("b", 2));
    expect_line("uidnfs_unreserved_connections 1");
}

TEST_F(MetricsTest, what_mounts_did_before_this_daemon_began_is_not_told_again) {
    const auto status = [](std::string_view since, int calls) {
        return fmt::format(
            R"({{"worker_pid":7,"since":"2026-01-31T{}Z","calls":{{"latency_bounds":[],
                "procedures":{{"READ":{{"count":{}}}}}}}}})",
            since,
            calls
        );
    };
    tell(volume("a", 1), status("11:59:59", 1000));
    expect_line(R"(uidnfs_nfs_calls_total{procedure="READ"} 0)");
    tell(volume("a", 1), status("11:59:59", 1003));
    tell(volume("b", 2), status("12:00:01", 4));
    expect_line(R"(uidnfs_nfs_calls_total{procedure="READ"} 7)");
}

TEST_F(MetricsTest, a_directory_that_is_replaced_at_a_reload_does_not_count_backwards) {
    ldap::Directory::Counters counters;
    counters.successes = 5;
    counters.cache_hits = 7;
    counters.failures[static_cast<std::size_t>(ldap::FailureKind::bad_credentials)] = 2;
    gauges.directory = counters;
    expect_line(R"(uidnfs_ldap_lookups_total{result="ok"} 5)");
    expect_line(R"(uidnfs_ldap_lookups_total{result="bad_credentials"} 2)");
    counters = {};
    counters.successes = 1;
    gauges.directory = counters;
    expect_line(R"(uidnfs_ldap_lookups_total{result="ok"} 6)");
    expect_line("uidnfs_ldap_cache_hits_total 7");
}

TEST_F(MetricsTest, without_a_directory_nothing_is_said_of_it) {
    EXPECT_THAT(metrics().render(), Not(HasSubstr("uidnfs_ldap_")));
    expect_line("uidnfs_build_info{version=\"" UIDNFS_VERSION "\"} 1");
    metrics().set_lost_identities(3);
    expect_line("uidnfs_lost_identities 3");
}

TEST_F(MetricsTest, volumes_have_lines_of_their_own_only_when_wanted) {
    tell(volume("web", 1), R"({"worker_pid":7,"state":"stale","bytes_not_committed":9})");
    EXPECT_THAT(metrics().render(), Not(HasSubstr("web")));
}

TEST_F(MetricsTest, volumes_with_lines_of_their_own) {
    metrics(Metrics::PerVolume::yes);
    const auto* status = R"({"worker_pid":7,"state":"stale","bytes_not_committed":9})";
    tell(volume("we\"b", 1), status);
    expect_line(R"(uidnfs_volume_healthy{plugin="docker",volume="we\"b"} 0)");
    expect_line(R"(uidnfs_volume_uncommitted_bytes{plugin="docker",volume="we\"b"} 9)");
    expect_line(R"(uidnfs_volume_resident_bytes{plugin="docker",volume="we\"b"} 7000)");
    metrics().worker_gone(volume("we\"b", 1));
    EXPECT_THAT(metrics().render(), Not(HasSubstr("web")));
}

TEST(ResidentBytes, are_memory_and_not_the_code_that_all_have) {
    constexpr std::size_t kSize = 32u << 20;
    const auto pid = static_cast<std::uint32_t>(::getpid());
    const auto before = resident_bytes(pid);
    ASSERT_TRUE(before);
    std::string name = ::testing::TempDir() + "uidnfs-resident-XXXXXX";
    const core::Fd file(::mkstemp(name.data()));
    ::unlink(name.c_str());
    ASSERT_EQ(::ftruncate(file.get(), kSize), 0);
    const core::Fd shared(::memfd_create("arena", MFD_CLOEXEC));
    ASSERT_EQ(::ftruncate(shared.get(), kSize), 0);
    const auto map = [](int fd, int flags) {
        constexpr int kRights = PROT_READ | PROT_WRITE;
        return ::mmap(nullptr, kSize, kRights, flags | MAP_POPULATE, fd, 0);
    };
    // What a mapping shows of a file on a tmpfs would be RssShmem.
    struct statfs where {};
    ASSERT_EQ(::fstatfs(file.get(), &where), 0);
    void* mapped = where.f_type == TMPFS_MAGIC ? nullptr : map(file.get(), MAP_SHARED);
    ASSERT_NE(mapped, MAP_FAILED);
    EXPECT_LT(resident_bytes(pid), *before + kSize / 2);
    void* own = map(-1, MAP_PRIVATE | MAP_ANONYMOUS);
    void* arena = map(shared.get(), MAP_SHARED);
    ASSERT_NE(own, MAP_FAILED);
    ASSERT_NE(arena, MAP_FAILED);
    EXPECT_GT(resident_bytes(pid), *before + 2 * kSize - kSize / 2);
    for (void* area : {mapped, own, arena}) {
        if (area != nullptr) ::munmap(area, kSize);
    }
}

TEST(ResidentBytes, are_those_of_the_process) {
    const auto own = resident_bytes(static_cast<std::uint32_t>(::getpid()));
    ASSERT_TRUE(own);
    EXPECT_GT(*own, 1u << 20);
    EXPECT_EQ(resident_bytes(0), std::nullopt);
}

}  // namespace
}  // namespace uidnfs::plugins::testing
