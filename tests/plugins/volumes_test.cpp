// SPDX-License-Identifier: Apache-2.0
// Volumes: the machines at work, with a store on a real disk and a mounter that mounts nothing.
#include "plugins/core/volumes.hpp"

#include "core/log.hpp"
#include "tests/plugins/fake_mounter.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>

namespace uidnfs::plugins::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;

/// Every definition is fine but that of user "nobody".
class FakePreparer final : public Preparer {
public:
    core::Task<core::Outcome<MountSpec>> prepare(
        VolumeKey volume, DefinitionPtr definition, core::SteadyTime, std::stop_token
    ) override {
        for (const auto& [name, value] : definition->options) {
            if (value == "nobody") co_return core::Failure{ENOENT, "User does not exist"};
        }
        MountSpec spec{.volume = volume, .directory = directory_name(volume)};
        spec.source = definition->source;
        spec.identity = {1001, 1001, {}, "declared", ""};
        co_return spec;
    }
};

class Recorder final : public Observer {
public:
    void decided(const Decision& decision) override {
        lines.push_back(fmt::format(
            "{} {} {}", to_string(decision.event), decision.volume.name, decision.holder
        ));
        decisions.push_back(decision);
    }
    std::vector<std::string> lines;
    std::vector<Decision> decisions;
};

/// A disk whose fsync(2) of the definitions takes as long as a test wants.
class SlowDefinitions final : public FileSystem {
public:
    void hold() {
        const std::lock_guard lock(mutex_);
        gate_ = Gate::closed;
    }
    void let_go() {
        {
            const std::lock_guard lock(mutex_);
            gate_ = Gate::open;
        }
        opened_.notify_all();
    }
    core::Result<void> make_directory(const std::string& path) override {
        return disk_.make_directory(path);
    }
    core::Result<std::vector<std::string>> list(const std::string& directory) override {
        return disk_.list(directory);
    }
    core::Result<std::string> read(const std::string& path) override { return disk_.read(path); }
    core::Result<void> write(const std::string& path, const std::string& bytes) override {
        return disk_.write(path, bytes);
    }
    core::Result<void> rename(const std::string& from, const std::string& to) override {
        return disk_.rename(from, to);
    }
    core::Result<void> remove(const std::string& path) override { return disk_.remove(path); }
    core::Result<void> sync_directory(const std::string& path) override {
        if (path.ends_with("/definitions")) {
            std::unique_lock lock(mutex_);
            opened_.wait(lock, [this] { return gate_ == Gate::open; });
        }
        return disk_.sync_directory(path);
    }

private:
    PosixFileSystem disk_;
    std::mutex mutex_;
    std::condition_variable opened_;
    enum class Gate { open, closed } gate_ = Gate::open;
};

class VolumesTest : public ::testing::Test {
protected:
    void SetUp() override {
        core::log::set_level(core::log::Level::off);
        std::string name = ::testing::TempDir() + "uidnfs-volumes-XXXXXX";
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        root = name;
        start();
    }
    void TearDown() override {
        core::log::set_level(core::log::Level::info);
        volumes.reset();
        // What was asked of the mounter ends by itself; a reactor that dies first would leak it.
        run_until([&] { return mounter.is_idle(); });
        reactor.io().poll();
        std::filesystem::remove_all(root);
    }

    void start(core::SteadyDuration mount_limit = 300ms) {
        store = std::make_unique<Store>(files, Store::Directories{root + "/state", root + "/run"});
        Volumes::Limits limits;
        limits.mount = mount_limit;
        limits.other = 2s;
        limits.times = {100ms, 1s};
        volumes = std::make_unique<Volumes>(
            Volumes::Deps{reactor, *store, mounter, preparer, observer}, limits
        );
        const auto restored = volumes->restore();
        ASSERT_TRUE(restored) << restored.error().user_text;
    }
    /// kill -9: what was in memory is gone, mounts stay.
    void restart() {
        volumes.reset();
        start();
    }

    static VolumeKey key(std::string name) { return {Dialect::docker, std::move(name)}; }
    static DefinitionPtr define(std::string host, std::string user = "jane") {
        auto definition = std::make_shared<Definition>();
        definition->source = host + ":/exports/a";
        definition->options = {{"username", std::move(user)}};
        return definition;
    }

    void run_until(const std::function<bool()>& done) {
        const auto limit = std::chrono::steady_clock::now() + 20s;
        reactor.run_until([&] { return done() || std::chrono::steady_clock::now() > limit; });
        ASSERT_TRUE(done()) << "it takes too long";
    }
    void pass(core::SteadyDuration time) {
        const auto until = std::chrono::steady_clock::now() + time;
        boost::asio::steady_timer timer(reactor.io(), until);
        timer.async_wait([](const boost::system::error_code&) {});
        reactor.run_until([&] { return std::chrono::steady_clock::now() >= until; });
    }

    /// "ok" or the failure's text; `told` is filled in when the answer is there.
    Volumes::Reply into(std::string& told) {
        return [&told](const core::Outcome<void>& done) {
            told = done ? "ok" : done.error().user_text;
        };
    }
    Volumes::MountReply into_mount(std::string& told) {
        return [&told, this](const core::Outcome<Volumes::Mounted>& done) {
            told = done ? done->mountpoint : done.error().user_text;
            if (done) last_mount = done->serial;
        };
    }
    std::string create(const std::string& name, const std::string& host) {
        std::string told;
        volumes->create(key(name), define(host), {}, into(told));
        run_until([&] { return !told.empty(); });
        return told;
    }
    std::string mount(const std::string& name, const std::string& holder = "h1") {
        std::string told;
        volumes->mount(key(name), holder, {}, into_mount(told));
        run_until([&] { return !told.empty(); });
        return told;
    }
    std::string unmount(const std::string& name, const std::string& holder = "h1") {
        std::string told;
        volumes->unmount(key(name), holder, {}, into(told));
        run_until([&] { return !told.empty(); });
        return told;
    }
    State state(const std::string& name) {
        const auto info = volumes->find(key(name));
        return info ? info->state : State::absent;
    }
    std::size_t state_files() const {
        std::size_t count = 0;
        for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
            count += entry.is_regular_file();
        }
        return count;
    }

    std::string root;
    core::Reactor reactor;
    SlowDefinitions files;
    std::unique_ptr<Store> store;
    FakeMounter mounter{reactor};
    FakePreparer preparer;
    Recorder observer;
    std::unique_ptr<Volumes> volumes;
    Serial last_mount = 0;
};

TEST_F(VolumesTest, a_volume_from_create_to_remove) {
    EXPECT_EQ(create("web", "nas1"), "ok");
    EXPECT_EQ(mount("web"), "/var/lib/uidnfs/volumes/docker-web");
    EXPECT_EQ(volumes->find(key("web"))->holders, std::vector<std::string>{"h1"});
    EXPECT_EQ(state_files(), 2u);
    EXPECT_EQ(unmount("web"), "ok");
    EXPECT_TRUE(mounter.mounts.empty());
    EXPECT_EQ(state_files(), 1u);
    std::string told;
    volumes->remove(key("web"), {}, into(told));
    run_until([&] { return !told.empty(); });
    EXPECT_EQ(told, "ok");
    EXPECT_EQ(state_files(), 0u);
    EXPECT_EQ(volumes->find(key("web")), std::nullopt);
    EXPECT_THAT(
        observer.lines, ElementsAre("create web ", "mount web h1", "unmount web h1", "remove web ")
    );
}

TEST_F(VolumesTest, failures_carry_the_reference_that_the_audit_has) {
    create("web", "refuse");
    EXPECT_THAT(
        mount("web"),
        MatchesRegex("cannot mount refuse:/exports/a: the server refused the mount .not exported "
                     "to this host.; check the export list of refuse .reference [0-9a-f-]+.")
    );
    EXPECT_THAT(observer.lines, ElementsAre("create web ", "refused web h1"));
    EXPECT_EQ(state(("web")), State::created);
    EXPECT_EQ(state_files(), 1u);
}

TEST_F(VolumesTest, a_decision_says_who_was_mounted_by_which_rule_and_how_long_it_took) {
    create("web", "slow-30");
    mount("web");
    const auto& mounted = observer.decisions.back();
    EXPECT_EQ(mounted.rule, "rule 1");
    EXPECT_EQ(mounted.identity, (MountIdentity{1001, 1001, {}, "declared", ""}));
    EXPECT_EQ(mounted.source, "slow-30:/exports/a");
    EXPECT_GE(mounted.took, 30ms);
    EXPECT_EQ(volumes->find(key("web"))->identity.uid, 1001u);
    unmount("web");
    EXPECT_EQ(observer.decisions.back().identity.uid, 1001u);
}

TEST_F(VolumesTest, a_keeper_that_was_replaced_is_told_and_changes_nothing) {
    create("v", "fine");
    const auto path = mount("v");
    const auto files_before = state_files();
    volumes->keeper_told(key("v"), KeeperNews::lost, "killed");
    volumes->keeper_told(key("v"), KeeperNews::replaced, "another one");
    volumes->keeper_told(key("unknown"), KeeperNews::lost, "killed");
    ASSERT_EQ(observer.decisions.size(), 4u);
    const auto& lost = observer.decisions[2];
    EXPECT_EQ(to_string(lost.event), "keeper lost");
    EXPECT_EQ(lost.text, "killed");
    EXPECT_EQ(lost.source, "fine:/exports/a");
    EXPECT_EQ(lost.identity.uid, 1001u);
    EXPECT_NE(lost.worker.pid, 0u);
    EXPECT_EQ(to_string(observer.decisions[3].event), "keeper replaced");
    EXPECT_EQ(state("v"), State::mounted);
    EXPECT_EQ(state_files(), files_before);
}

TEST_F(VolumesTest, a_refusal_says_what_was_asked_and_nothing_of_the_mount_before) {
    create("web", "nas1");
    mount("web");
    unmount("web");
    auto stranger = std::make_shared<Definition>();
    stranger->source = "nas2:/exports/a";
    stranger->options = {{"username", "nobody"}};
    std::string told;
    volumes->create(key("web"), std::move(stranger), {}, into(told));
    run_until([&] { return !told.empty(); });
    mount("web");
    const auto& refused = observer.decisions.back();
    EXPECT_EQ(refused.event, Decision::Event::refused);
    EXPECT_EQ(refused.asked, Decision::Event::mount);
    EXPECT_EQ(refused.code, ENOENT);
    EXPECT_EQ(refused.source, "nas2:/exports/a");
    EXPECT_EQ(refused.identity, MountIdentity{.user = "nobody"}) << "whom it asked for, no ids";
    EXPECT_EQ(refused.rule, "");
}

TEST_F(VolumesTest, a_failed_preparation_asks_no_mounter) {
    std::string told;
    volumes->create(key("web"), define("nas1", "nobody"), {}, into(told));
    run_until([&] { return !told.empty(); });
    EXPECT_THAT(mount("web"), HasSubstr("User does not exist"));
    EXPECT_THAT(mounter.calls, IsEmpty());
}

TEST_F(VolumesTest, names_do_not_wait_for_each_other) {
    create("dead", "hang");
    create("web", "nas1");
    std::string dead;
    volumes->mount(key("dead"), "h1", {}, into_mount(dead));
    EXPECT_EQ(mount("web"), "/var/lib/uidnfs/volumes/docker-web");
    EXPECT_EQ(dead, "");
    EXPECT_EQ(state("dead"), State::mounting);
    EXPECT_EQ(volumes->list(Dialect::docker).size(), 2u);
    run_until([&] { return !dead.empty(); });
    EXPECT_THAT(dead, HasSubstr("did not answer in time"));
}

TEST_F(VolumesTest, a_mount_does_not_wait_for_the_definitions_of_others) {
    create("web", "nas1");
    files.hold();
    std::string created;
    volumes->create(key("db"), define("nas1"), {}, into(created));
    EXPECT_EQ(mount("web"), "/var/lib/uidnfs/volumes/docker-web");
    EXPECT_EQ(created, "");
    files.let_go();
    run_until([&] { return !created.empty(); });
    EXPECT_EQ(created, "ok");
}

TEST_F(VolumesTest, the_deadline_holds_also_when_the_mounter_is_deaf) {
    create("web", "deaf");
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_THAT(mount("web"), HasSubstr("did not answer in time"));
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 300ms);
    run_until([&] { return state("web") == State::created; });
    EXPECT_TRUE(mounter.mounts.empty()) << "the late mount was not undone";
    EXPECT_EQ(state_files(), 1u);
}

TEST_F(VolumesTest, a_caller_that_hangs_up_leaves_nothing) {
    create("web", "hang");
    std::stop_source caller;
    std::string told;
    volumes->mount(key("web"), "h1", {caller.get_token()}, into_mount(told));
    pass(20ms);
    EXPECT_EQ(state("web"), State::mounting);
    caller.request_stop();
    run_until([&] { return state("web") == State::created; });
    EXPECT_EQ(told, "");
    EXPECT_EQ(state_files(), 1u);
    EXPECT_TRUE(mounter.mounts.empty());
}

TEST_F(VolumesTest, a_caller_that_hung_up_before_is_not_served) {
    create("web", "nas1");
    std::stop_source caller;
    caller.request_stop();
    std::string told;
    volumes->mount(key("web"), "h1", {caller.get_token()}, into_mount(told));
    run_until([&] { return state("web") == State::created && state_files() == 1; });
    pass(20ms);
    EXPECT_EQ(state("web"), State::created);
    EXPECT_TRUE(mounter.mounts.empty());
}

TEST_F(VolumesTest, an_answer_that_was_not_delivered_is_taken_back) {
    create("web", "nas1");
    mount("web");
    volumes->take_back(key("web"), "h1", last_mount);
    run_until([&] { return state("web") == State::created; });
    EXPECT_TRUE(mounter.mounts.empty());
}

TEST_F(VolumesTest, fifty_mounts_of_one_name_make_one_mount) {
    volumes.reset();
    start(20s);  // each holder is synced to whatever disk this is
    create("web", "slow-50");
    std::vector<std::string> told(50);
    for (int i = 0; i < 50; ++i) {
        volumes->mount(key("web"), fmt::format("h{}", i), {}, into_mount(told[i]));
    }
    for (auto& answer : told) run_until([&] { return !answer.empty(); });
    EXPECT_EQ(std::count(mounter.calls.begin(), mounter.calls.end(), "start web"), 1);
    for (int i = 0; i < 49; ++i) EXPECT_EQ(unmount("web", fmt::format("h{}", i)), "ok");
    EXPECT_EQ(state("web"), State::mounted);
    EXPECT_EQ(unmount("web", "h49"), "ok");
    EXPECT_EQ(state("web"), State::created);
}

TEST_F(VolumesTest, too_many_waiting_commands_are_refused) {
    create("web", "hang");
    std::vector<std::string> told(65);
    for (auto& answer : told) volumes->mount(key("web"), "h", {}, into_mount(answer));
    EXPECT_THAT(told.back(), HasSubstr("64 commands for it are waiting"));
    EXPECT_EQ(told.front(), "");
    for (auto& answer : told) run_until([&] { return !answer.empty(); });
}

TEST_F(VolumesTest, a_busy_mount_is_detached_and_its_name_is_free_after_the_flush) {
    create("web", "busy");
    mount("web");
    EXPECT_EQ(unmount("web"), "ok");
    EXPECT_EQ(state("web"), State::detached);
    EXPECT_TRUE(mounter.mounts.empty());
    std::string told;
    volumes->mount(key("web"), "h2", {}, into_mount(told));
    pass(20ms);
    EXPECT_EQ(told, "");
    volumes->worker_ended(key("web"), mounter.kill(key("web")).id, {});
    run_until([&] { return !told.empty(); });
    EXPECT_EQ(told, "/var/lib/uidnfs/volumes/docker-web");
}

TEST_F(VolumesTest, a_mount_that_is_used_on_is_known_until_it_ends) {
    create("web", "used");
    mount("web");
    EXPECT_EQ(unmount("web"), "ok");
    EXPECT_EQ(state("web"), State::detached);
    const auto left = mounter.detached.at(key("web"));
    EXPECT_EQ(mount("web", "h2"), "/var/lib/uidnfs/volumes/docker-web");
    EXPECT_EQ(state("web"), State::mounted);
    restart();
    run_until([&] { return state("web") == State::mounted; });
    EXPECT_EQ(mounter.detached.at(key("web")), left);
    observer.decisions.clear();
    volumes->worker_ended(key("web"), left.id, {"", {"log/a 0-4095"}});
    ASSERT_EQ(observer.decisions.size(), 1u);
    EXPECT_EQ(observer.decisions[0].event, Decision::Event::data_lost);
    EXPECT_EQ(observer.decisions[0].text, "log/a 0-4095");
    EXPECT_EQ(state("web"), State::mounted);
}

TEST_F(VolumesTest, an_end_that_nobody_saw_is_told_by_the_next_daemon) {
    create("web", "used");
    mount("web");
    EXPECT_EQ(unmount("web"), "ok");
    mounter.lost.insert(key("web"));
    observer.decisions.clear();
    restart();
    run_until([&] { return !observer.decisions.empty(); });
    ASSERT_EQ(observer.decisions.size(), 1u);
    EXPECT_EQ(observer.decisions[0].event, Decision::Event::data_lost);
    EXPECT_THAT(observer.decisions[0].text, HasSubstr("it ended while the daemon was away"));
}

TEST_F(VolumesTest, a_drain_does_not_end_before_what_is_used_on) {
    create("web", "used");
    mount("web");
    unmount("web");
    std::optional<std::vector<std::string>> left;
    const auto told = [&](std::vector<std::string> names) { left = std::move(names); };
    volumes->drain(std::chrono::steady_clock::now() + 50ms, told);
    run_until([&] { return left.has_value(); });
    EXPECT_THAT(*left, ElementsAre(HasSubstr("programs still use it")));
    restart();
    run_until([&] { return !volumes->is_restoring(); });
    left.reset();
    volumes->drain(std::chrono::steady_clock::now() + 50ms, told);
    run_until([&] { return left.has_value(); });
    EXPECT_EQ(left->size(), 1u) << "a daemon that was started again knows it too";
    volumes->worker_ended(key("web"), mounter.detached.at(key("web")).id, {});
    left.reset();
    volumes->drain(std::chrono::steady_clock::now() + 5s, told);
    run_until([&] { return left.has_value(); });
    EXPECT_THAT(*left, IsEmpty());
}

TEST_F(VolumesTest, restart_finds_everything_again) {
    create("web", "nas1");
    create("idle", "nas1");
    create("gone", "nas1");
    mount("web", "h1");
    mount("web", "h2");
    mount("gone");
    mounter.lost.insert(key("gone"));
    restart();
    run_until([&] { return state("web") == State::mounted && state("gone") == State::failed; });
    EXPECT_THAT(volumes->find(key("web"))->holders, ElementsAre("h1", "h2"));
    EXPECT_EQ(state("idle"), State::created);
    EXPECT_EQ(volumes->find(key("gone"))->reason, "its worker is gone; mount it again");
    EXPECT_EQ(unmount("web", "h1"), "ok");
    EXPECT_EQ(unmount("web", "h2"), "ok");
    EXPECT_EQ(unmount("gone"), "ok");
    EXPECT_TRUE(mounter.mounts.empty());
    EXPECT_EQ(state_files(), 3u);
}

TEST_F(VolumesTest, restart_in_the_middle_of_a_mount_leaves_nothing) {
    create("web", "hang");
    std::string told;
    volumes->mount(key("web"), "h1", {}, into_mount(told));
    run_until([&] { return state_files() == 2; });
    restart();
    run_until([&] { return state("web") == State::created && state_files() == 1; });
    EXPECT_EQ(told, "");
}

TEST_F(VolumesTest, a_damaged_state_file_takes_no_other_volume_away) {
    create("web", "nas1");
    create("other", "nas1");
    volumes.reset();
    std::ofstream(root + "/state/definitions/docker-web.json") << "{";
    volumes = std::make_unique<Volumes>(
        Volumes::Deps{reactor, *store, mounter, preparer, observer}, Volumes::Limits{}
    );
    ASSERT_TRUE(volumes->restore());
    EXPECT_FALSE(volumes->find({Dialect::docker, "web"}));
    EXPECT_TRUE(volumes->find({Dialect::docker, "other"}));
    EXPECT_EQ(store->damaged().size(), 1u);
}

TEST_F(VolumesTest, an_unmount_that_gives_nothing_back_is_no_line_of_the_audit) {
    create("web", "nas1");
    mount("web", "h1");
    EXPECT_EQ(unmount("web", "stranger"), "ok");
    EXPECT_EQ(unmount("web", "h1"), "ok");
    EXPECT_EQ(unmount("web", "h1"), "ok");
    EXPECT_THAT(observer.lines, ElementsAre("create web ", "mount web h1", "unmount web h1"));
}

TEST_F(VolumesTest, drain_unmounts_everything_and_reports_the_rest) {
    create("a", "nas1");
    create("b", "nas1");
    create("c", "busy");
    mount("a", "h1");
    mount("a", "h2");
    mount("b");
    mount("c");
    std::optional<std::vector<std::string>> failures;
    volumes->drain(std::chrono::steady_clock::now() + 400ms, [&](std::vector<std::string> left) {
        failures = std::move(left);
    });
    EXPECT_THAT(mount("a", "h3"), HasSubstr("uidnfsd of this host was drained"));
    run_until([&] { return failures.has_value(); });
    EXPECT_TRUE(mounter.mounts.empty());
    ASSERT_EQ(failures->size(), 1u);
    EXPECT_THAT(failures->front(), HasSubstr("c: "));
}

TEST_F(VolumesTest, drain_of_nothing_ends) {
    bool is_done = false;
    volumes->drain(
        std::chrono::steady_clock::now() + 1s,
        [&](const std::vector<std::string>& left) { is_done = left.empty(); }
    );
    run_until([&] { return is_done; });
}

}  // namespace
}  // namespace uidnfs::plugins::testing
