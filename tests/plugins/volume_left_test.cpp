// SPDX-License-Identifier: Apache-2.0
// Volume whose mount is used on after its Unmount, by a container or in another mount namespace:
// its worker is known until it ends, and nobody but a Drain waits for that.
#include "tests/plugins/volume_fixture.hpp"

namespace uidnfs::plugins::testing {
namespace {

const std::string kInUse =
    "it is out of this host's mounts, and programs still use it: a container that has it, or an "
    "open file; end them";
const core::Failure kNone{ESRCH, "none"};

LiveRecord left_alone() {
    return {
        LiveRecord::Phase::detached,
        kWorker,
        "nas1:/exports/a",
        {1001, 1001, {}, "declared", ""},
        {},
        {kWorker}};
}

LiveRecord left_beside(LiveRecord::Phase phase) {
    auto record = left_alone();
    record.phase = phase;
    record.worker = phase == LiveRecord::Phase::mounting ? Worker{} : kSecondWorker;
    record.holders = {{"h2"}};
    return record;
}

}  // namespace

using VolumeLeft = VolumeTest;
using LeasedVolumeLeft = LeasedVolumeTest;

TEST_F(VolumeLeft, unmount_succeeds_and_the_record_keeps_the_worker) {
    be_mounted();
    unmount();
    EXPECT_EQ(done(), Texts{"stop"});
    EXPECT_EQ(used(), (Texts{"note taken away while programs still use it: in use", "detach"}));
    EXPECT_EQ(done(), Texts{"save_live"});
    EXPECT_EQ(volume.record(), left_alone());
    EXPECT_EQ(done(), Texts{"3 ok"});
    EXPECT_EQ(volume.state(), State::detached);
    EXPECT_EQ(volume.reason(), kInUse);
    EXPECT_EQ(volume.mountpoint(), "");
}

TEST_F(VolumeLeft, its_end_frees_the_volume_and_tells_what_was_lost) {
    be_left();
    EXPECT_EQ(
        ended({"the server did not answer", {"log/a 0-4095"}}),
        (Texts{"note log/a 0-4095", "erase_live"})
    );
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(volume.state(), State::created);
    EXPECT_EQ(volume.reason(), "");
    EXPECT_EQ(ended({"again", {"log/a 0-4095"}}), Texts{});
}

TEST_F(VolumeLeft, mount_does_not_wait_for_it) {
    be_left();
    EXPECT_EQ(mount("h2"), Texts{"prepare"});
    EXPECT_EQ(prepared(), Texts{"save_live"});
    EXPECT_EQ(volume.record().left, std::vector<Worker>{kWorker});
    EXPECT_EQ(volume.record().worker, Worker{});
    EXPECT_EQ(done(), Texts{"start"});
    EXPECT_EQ(started(kSecondWorker), Texts{"save_live"});
    EXPECT_EQ(volume.record().left, std::vector<Worker>{kWorker});
    EXPECT_EQ(volume.record().worker, kSecondWorker);
    EXPECT_EQ(done(), Texts{"4 ok"});
    EXPECT_EQ(volume.state(), State::mounted);
    EXPECT_EQ(ended({"", {"log/a 0-4095"}}), (Texts{"note log/a 0-4095", "save_live"}));
    EXPECT_EQ(volume.record().left, std::vector<Worker>{});
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(volume.state(), State::mounted);
}

TEST_F(VolumeLeft, mount_that_fails_beside_it_forgets_nothing) {
    be_left();
    mount("h2");
    prepared();
    done();
    EXPECT_EQ(send(Started{core::Failure{EACCES, "refused"}}), Texts{"save_live"});
    EXPECT_EQ(volume.record().phase, LiveRecord::Phase::detached);
    EXPECT_EQ(volume.record().left, std::vector<Worker>{kWorker});
    EXPECT_EQ(done(), Texts{"4 refused"});
    EXPECT_EQ(volume.state(), State::detached);
    EXPECT_EQ(volume.reason(), "refused");
}

TEST_F(VolumeLeft, its_end_during_a_mount_that_fails_leaves_no_record) {
    be_left();
    mount("h2");
    EXPECT_EQ(ended(), Texts{});
    EXPECT_EQ(send(Prepared{core::Failure{EACCES, "refused"}}), (Texts{"4 refused", "erase_live"}));
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(volume.state(), State::created);
}

TEST_F(VolumeLeft, end_of_the_mount_beside_it_forgets_nothing) {
    be_left();
    mount("h2");
    prepared();
    done();
    started(kSecondWorker);
    done();
    unmount("h2");
    done();
    EXPECT_EQ(stopped(), Texts{"save_live"});
    EXPECT_EQ(volume.record().worker, kWorker);
    EXPECT_EQ(volume.record().left, std::vector<Worker>{kWorker});
    EXPECT_EQ(done(), Texts{"5 ok"});
    EXPECT_EQ(volume.state(), State::detached);
    EXPECT_EQ(ended(), Texts{"erase_live"});
}

TEST_F(VolumeLeft, drain_waits_for_it_and_says_why) {
    be_left();
    EXPECT_EQ(submit(Drain{}), Texts{});
    EXPECT_EQ(pass(7s), Texts{"4 error unmounting volume: a: " + kInUse});
    // It was answered; nobody has to wait behind it.
    EXPECT_EQ(unmount(), Texts{"5 ok"});
    EXPECT_EQ(ended(), Texts{"erase_live"});
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(volume.state(), State::created);
}

TEST_F(VolumeLeft, drain_ends_with_it) {
    be_left();
    submit(Drain{});
    EXPECT_EQ(ended(), Texts{"erase_live"});
    EXPECT_EQ(done(), Texts{"4 ok"});
}

TEST_F(VolumeLeft, drain_of_a_mount_that_is_used_on_waits_for_its_end) {
    be_mounted();
    submit(Drain{});
    done();
    used();
    EXPECT_EQ(done(), Texts{"save_live"});
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(ended(), Texts{"erase_live"});
    EXPECT_EQ(done(), Texts{"3 ok"});
    EXPECT_EQ(volume.state(), State::created);
}

TEST_F(VolumeLeft, remove_does_not_wait_for_it) {
    be_left();
    EXPECT_EQ(submit(Remove{}), Texts{"erase_definition"});
    EXPECT_EQ(done(), Texts{"4 ok"});
    EXPECT_EQ(volume.state(), State::absent);
    EXPECT_FALSE(volume.is_gone());
    EXPECT_EQ(submit(Drain{}), Texts{});
    EXPECT_EQ(ended(), Texts{"erase_live"});
    EXPECT_EQ(done(), Texts{"5 ok"});
    EXPECT_TRUE(volume.is_gone());
}

TEST_F(LeasedVolumeLeft, the_last_unmount_forgets_the_volume_and_not_its_worker) {
    be_mounted();
    unmount();
    done();
    used();
    EXPECT_EQ(done(), Texts{"save_live"});
    EXPECT_EQ(done(), Texts{"erase_definition"});
    EXPECT_EQ(done(), Texts{"3 ok"});
    EXPECT_FALSE(volume.is_gone());
    EXPECT_EQ(ended(), Texts{"erase_live"});
    EXPECT_EQ(done(), Texts{});
    EXPECT_TRUE(volume.is_gone());
}

// After kill -9.

TEST_F(VolumeLeft, restart_knows_it) {
    EXPECT_EQ(tell(volume.restore(define(), left_alone())), Texts{"adopt"});
    EXPECT_EQ(volume.record(), left_alone());
    EXPECT_EQ(send(Started{kNone}), Texts{"save_live"});
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(volume.state(), State::detached);
    EXPECT_EQ(mount("h2"), Texts{"prepare"});
}

TEST_F(VolumeLeft, restart_finds_that_it_ended) {
    volume.restore(define(), left_alone());
    EXPECT_EQ(ended(), Texts{});
    EXPECT_EQ(send(Started{kNone}), Texts{"erase_live"});
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(volume.state(), State::created);
}

TEST_F(VolumeLeft, restart_knows_it_beside_a_mount) {
    volume.restore(define(), left_beside(LiveRecord::Phase::mounted));
    EXPECT_EQ(started(kSecondWorker), Texts{});
    EXPECT_EQ(volume.state(), State::mounted);
    EXPECT_EQ(volume.record(), left_beside(LiveRecord::Phase::mounted));
}

TEST_F(VolumeLeft, restart_finds_that_it_ended_beside_a_mount) {
    volume.restore(define(), left_beside(LiveRecord::Phase::mounted));
    EXPECT_EQ(ended(), Texts{});
    EXPECT_EQ(started(kSecondWorker), Texts{"save_live"});
    EXPECT_EQ(volume.record().left, std::vector<Worker>{});
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(volume.state(), State::mounted);
}

TEST_F(VolumeLeft, restart_in_the_middle_of_a_mount_beside_it) {
    volume.restore(define(), left_beside(LiveRecord::Phase::mounting));
    EXPECT_EQ(send(Started{kNone}), Texts{"save_live"});
    EXPECT_EQ(volume.record().phase, LiveRecord::Phase::detached);
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(volume.state(), State::detached);
    EXPECT_EQ(volume.holders(), Texts{});
}

}  // namespace uidnfs::plugins::testing
