// SPDX-License-Identifier: Apache-2.0
// Volume: failure at each step of a Mount, deadlines, clients that hang up, workers that die, and
// what a daemon finds after kill -9.
#include "tests/plugins/volume_fixture.hpp"

namespace uidnfs::plugins::testing {
namespace {

const core::Failure kRefused{EACCES, "cannot mount nas1:/exports/a: refused"};
const core::Failure kDisk{EIO, "disk"};
const std::string kSlow =
    "cannot mount nas1:/exports/a: the server did not answer in time; check that it is up and "
    "reachable";

}  // namespace

using VolumeFaults = VolumeTest;
using LeasedVolumeFaults = LeasedVolumeTest;

TEST_F(VolumeFaults, failed_preparation_leaves_it_created) {
    be_created();
    mount();
    EXPECT_EQ(send(Prepared{kRefused}), Texts{"2 " + kRefused.user_text});
    EXPECT_EQ(volume.state(), State::created);
    EXPECT_EQ(volume.reason(), kRefused.user_text);
    EXPECT_EQ(volume.holders(), Texts{});
}

TEST_F(VolumeFaults, intent_that_cannot_be_saved_starts_nothing) {
    be_created();
    mount();
    prepared();
    EXPECT_EQ(done(kDisk), Texts{"erase_live"});
    EXPECT_EQ(done(), Texts{"2 persist state failed when mounting: disk"});
    EXPECT_EQ(volume.state(), State::created);
}

TEST_F(VolumeFaults, failed_start_erases_the_intent) {
    be_created();
    mount();
    prepared();
    done();
    EXPECT_EQ(send(Started{kRefused}), Texts{"erase_live"});
    EXPECT_EQ(done(), Texts{"2 " + kRefused.user_text});
    EXPECT_EQ(volume.state(), State::created);
    EXPECT_EQ(volume.holders(), Texts{});
    EXPECT_EQ(mount(), Texts{"prepare"});
}

TEST_F(VolumeFaults, mount_that_cannot_be_saved_is_undone_in_reverse_order) {
    be_created();
    mount();
    prepared();
    done();
    started();
    EXPECT_EQ(done(kDisk), Texts{"save_live"});
    EXPECT_EQ(done(kDisk), (Texts{"note disk", "stop"}));
    EXPECT_EQ(stopped(), Texts{"erase_live"});
    EXPECT_EQ(done(), Texts{"2 persist state failed when mounting: disk"});
    EXPECT_EQ(volume.state(), State::created);
    EXPECT_EQ(volume.holders(), Texts{});
}

TEST_F(VolumeFaults, client_that_hangs_up_while_preparing_ends_the_mount) {
    be_created();
    mount();
    EXPECT_EQ(send(HungUp{2}), Texts{"cancel"});
    EXPECT_EQ(prepared(), Texts{});
    EXPECT_EQ(volume.state(), State::created);
}

TEST_F(VolumeFaults, client_that_hangs_up_while_saving_the_intent_starts_nothing) {
    be_created();
    mount();
    prepared();
    EXPECT_EQ(send(HungUp{2}), Texts{});
    EXPECT_EQ(done(), Texts{"erase_live"});
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(volume.state(), State::created);
}

TEST_F(VolumeFaults, client_that_hangs_up_while_starting_leaves_no_worker) {
    be_created();
    mount();
    prepared();
    done();
    EXPECT_EQ(send(HungUp{2}), Texts{"cancel"});
    EXPECT_EQ(started(), Texts{"save_live"});  // it was too late to cancel
    EXPECT_EQ(volume.state(), State::unmounting);
    EXPECT_EQ(done(), Texts{"stop"});
    EXPECT_EQ(stopped(), Texts{"erase_live"});
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(volume.state(), State::created);
    EXPECT_EQ(volume.holders(), Texts{});
}

TEST_F(VolumeFaults, client_that_hangs_up_at_the_last_moment_leaves_no_worker) {
    be_created();
    mount();
    prepared();
    done();
    started();
    EXPECT_EQ(send(HungUp{2}), Texts{});
    EXPECT_EQ(done(), Texts{"save_live"});
    done();
    stopped();
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(volume.state(), State::created);
}

TEST_F(VolumeFaults, client_that_hangs_up_in_the_queue_begins_nothing) {
    be_created();
    mount("h1");
    mount("h2");
    EXPECT_EQ(send(HungUp{3}), Texts{});
    finish_mount();
    EXPECT_EQ(volume.holders(), Texts{"h1"});
}

TEST_F(VolumeFaults, second_holder_that_hangs_up_leaves_the_first_one_alone) {
    be_mounted();
    mount("h2");
    send(HungUp{3});
    EXPECT_EQ(done(), Texts{"save_live"});
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(volume.holders(), Texts{"h1"});
    EXPECT_EQ(volume.state(), State::mounted);
}

TEST_F(VolumeFaults, hang_up_does_not_stop_an_unmount) {
    be_mounted();
    unmount();
    EXPECT_EQ(send(HungUp{3}), Texts{});
    EXPECT_EQ(done(), Texts{"stop"});
    stopped();
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(volume.state(), State::created);
}

TEST_F(VolumeFaults, answer_that_arrived_nowhere_is_taken_back) {
    be_mounted();
    EXPECT_EQ(submit(TakeBack{"h1", 2}), Texts{"save_live"});
    done();
    stopped();
    done();
    EXPECT_EQ(volume.state(), State::created);
}

TEST_F(VolumeFaults, answer_is_not_taken_back_once_the_holder_asked_again) {
    be_mounted();
    mount("h1");
    EXPECT_EQ(submit(TakeBack{"h1", 2}), Texts{"4 ok"});
    EXPECT_EQ(volume.state(), State::mounted);
    EXPECT_EQ(volume.holders(), Texts{"h1"});
}

TEST_F(VolumeFaults, answer_that_arrived_nowhere_takes_back_only_its_own_mount) {
    be_mounted();
    delivered(2);
    done();
    mount("h1");
    EXPECT_EQ(submit(TakeBack{"h1", 4}), Texts{"5 ok"});
    EXPECT_EQ(volume.state(), State::mounted);
    EXPECT_EQ(volume.holders(), Texts{"h1"});
    unmount("h1");
    EXPECT_EQ(volume.state(), State::unmounting);
}

TEST_F(VolumeFaults, answer_that_was_lost_and_asked_for_again_counts_once) {
    be_mounted();
    mount("h1");
    submit(TakeBack{"h1", 2});
    delivered(3);
    done();
    EXPECT_EQ(volume.record().holders, (std::vector<Hold>{{"h1", 1}}));
    unmount("h1");
    EXPECT_EQ(volume.state(), State::unmounting);
}

TEST_F(VolumeFaults, second_mount_of_a_holder_that_hangs_up_leaves_the_first_one_alone) {
    be_mounted();
    delivered(2);
    mount("h1");  // queued behind the save
    send(HungUp{4});
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(volume.state(), State::mounted);
    EXPECT_EQ(volume.holders(), Texts{"h1"});
}

TEST_F(VolumeFaults, answer_that_arrived_and_cannot_be_saved_is_told) {
    be_mounted();
    delivered(2);
    EXPECT_EQ(done(kDisk), Texts{"note disk"});
    EXPECT_EQ(volume.state(), State::mounted);
    EXPECT_EQ(volume.holders(), Texts{"h1"});
}

TEST_F(VolumeFaults, answer_that_arrives_when_the_mount_is_gone_is_not_saved) {
    be_mounted();
    ended({"killed"});
    done();
    mount("h1");
    for (int i = 0; i < 3; ++i) done();
    send(Prepared{kRefused});
    EXPECT_EQ(volume.state(), State::created);
    EXPECT_EQ(delivered(2), Texts{});
}

TEST_F(LeasedVolumeFaults, taking_back_keeps_the_definition_for_the_next_mount) {
    be_mounted();
    submit(TakeBack{"h1", 2});
    done();
    stopped();
    done();
    EXPECT_EQ(volume.state(), State::created);
}

TEST_F(VolumeFaults, deadline_answers_at_once_and_undoes_afterwards) {
    be_created();
    mount();
    prepared();
    done();
    EXPECT_EQ(pass(6s), Texts{});
    EXPECT_EQ(pass(1s), (Texts{"2 " + kSlow, "cancel"}));
    EXPECT_EQ(volume.next_deadline(), std::nullopt);
    EXPECT_EQ(send(Started{kRefused}), Texts{"erase_live"});
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(volume.state(), State::created);
}

TEST_F(VolumeFaults, deadline_while_the_identity_is_resolved_says_so) {
    be_created();
    mount();
    EXPECT_EQ(
        pass(7s),
        (Texts{
            "2 cannot mount nas1:/exports/a: the identity was not resolved in time; check the "
            "directory servers",
            "cancel"})
    );
}

TEST_F(VolumeFaults, deadline_while_its_state_is_saved_does_not_blame_the_server) {
    be_created();
    mount();
    prepared();
    EXPECT_EQ(
        pass(7s),
        Texts{"2 cannot mount nas1:/exports/a: what this host must remember of it was not saved in "
              "time; check its disk"}
    );
    EXPECT_EQ(done(), Texts{"erase_live"});
    EXPECT_EQ(done(), Texts{});
}

TEST_F(VolumeFaults, deadline_while_the_mount_before_is_taken_away_does_not_blame_the_server) {
    be_mounted();
    ended({"killed"});
    done();
    EXPECT_EQ(mount("h2"), Texts{"save_live"});
    EXPECT_EQ(done(), Texts{"detach"});
    EXPECT_EQ(
        pass(7s),
        Texts{"3 cannot mount nas1:/exports/a: its last mount is still being taken away; try again"}
    );
}

TEST_F(VolumeFaults, deadline_while_a_mount_that_failed_is_undone_says_why_it_failed) {
    be_created();
    mount();
    prepared();
    done();
    EXPECT_EQ(send(Started{kRefused}), Texts{"erase_live"});
    EXPECT_EQ(pass(7s), Texts{"2 " + kRefused.user_text});
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(volume.state(), State::created);
}

TEST_F(VolumeFaults, deadline_counts_in_the_queue_too) {
    be_created();
    mount("h1");
    now += 1s;
    mount("h2");
    now += 5s;
    EXPECT_EQ(pass(1s).at(0).substr(0, 1), "2");
    EXPECT_EQ(
        pass(1s),
        Texts{"3 cannot mount nas1:/exports/a: an earlier command for this volume is still at "
              "work; try again"}
    );
    EXPECT_EQ(prepared(), Texts{});
    EXPECT_EQ(volume.state(), State::created);
}

TEST_F(VolumeFaults, unmount_that_waited_too_long_is_answered_and_still_carried_out) {
    be_created();
    submit(Mount{"h1"}, 60s);
    unmount();
    EXPECT_EQ(
        pass(7s),
        Texts{"3 error unmounting volume: a is still busy with an earlier command; it goes on and "
              "need not be asked again"}
    );
    finish_mount();
    EXPECT_EQ(volume.state(), State::unmounting);
    done();
    stopped();
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(volume.state(), State::created);
}

TEST_F(VolumeFaults, silent_server_detaches_the_volume_and_unmount_succeeds) {
    be_mounted();
    unmount();
    auto actions = volume.handle(Done{{}}, now);
    EXPECT_EQ(std::get<Do>(actions.at(0)), (Do{Step::stop, now + 4s}));
    now += 4s;
    actions = volume.handle(Stopped{core::Failure{ETIMEDOUT, "silent"}}, now);
    EXPECT_EQ(std::get<Note>(actions.at(0)).kind, Note::Kind::aborted);
    EXPECT_EQ(
        std::get<Note>(actions.at(0)).text, "taken away while its worker still flushes: silent"
    );
    EXPECT_EQ(std::get<Do>(actions.at(1)), (Do{Step::detach, now + 30s}));
    EXPECT_EQ(done(), Texts{"save_live"});
    EXPECT_EQ(volume.record().phase, LiveRecord::Phase::detached);
    EXPECT_EQ(done(), Texts{"3 ok"});
    EXPECT_EQ(volume.state(), State::detached);
    EXPECT_EQ(volume.mountpoint(), "");
}

TEST_F(VolumeFaults, detached_volume_is_free_when_its_data_is_safe) {
    be_detached();
    EXPECT_EQ(ended(), Texts{"erase_live"});
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(volume.state(), State::created);
}

TEST_F(VolumeFaults, lost_data_is_told) {
    be_detached();
    EXPECT_EQ(
        ended({"the server did not answer", {"log/a 0-4095"}}),
        (Texts{"note log/a 0-4095", "erase_live"})
    );
}

TEST_F(VolumeFaults, mount_of_a_detached_volume_waits_for_its_data) {
    be_detached();
    EXPECT_EQ(mount("h2"), Texts{"save_live"});
    EXPECT_EQ(done(), Texts{"stop"});
    EXPECT_EQ(busy(), Texts{"detach"});
    EXPECT_EQ(done(), Texts{"save_live"});
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(volume.state(), State::detached);
    EXPECT_EQ(volume.record().phase, LiveRecord::Phase::detached);
    EXPECT_EQ(ended(), Texts{"erase_live"});
    EXPECT_EQ(done(), Texts{"prepare"});
    finish_mount();
    EXPECT_EQ(volume.state(), State::mounted);
}

TEST_F(VolumeFaults, mount_of_a_detached_volume_waits_no_longer_than_its_deadline) {
    be_detached();
    mount("h2");
    done();
    EXPECT_EQ(
        pass(7s),
        Texts{"4 cannot mount nas1:/exports/a: data of its last mount is still on the way to the "
              "server; try again"}
    );
    EXPECT_EQ(busy(), Texts{"detach"});
    EXPECT_EQ(done(), Texts{"save_live"});
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(volume.state(), State::detached);
    EXPECT_EQ(volume.holders(), Texts{});
    EXPECT_EQ(ended(), Texts{"erase_live"});
}

TEST_F(VolumeFaults, mount_of_a_detached_volume_does_not_wait_for_those_who_use_it_on) {
    be_detached();
    mount("h2");
    done();
    EXPECT_EQ(used(), Texts{"detach"});
    EXPECT_EQ(done(), Texts{"save_live"});
    EXPECT_EQ(volume.record().worker, kWorker);
    EXPECT_EQ(done(), Texts{"prepare"});
    prepared();
    done();
    started(kSecondWorker);
    EXPECT_EQ(done(), Texts{"4 ok"});
    EXPECT_EQ(volume.state(), State::mounted);
    EXPECT_EQ(volume.left(), std::vector<Worker>{kWorker});
}

TEST_F(VolumeFaults, remove_of_a_detached_volume_does_not_wait_for_those_who_use_it_on) {
    be_detached();
    EXPECT_EQ(submit(Remove{}), Texts{"save_live"});
    EXPECT_EQ(done(), Texts{"stop"});
    EXPECT_EQ(used(), Texts{"detach"});
    EXPECT_EQ(done(), Texts{"save_live"});
    EXPECT_EQ(done(), Texts{"erase_definition"});
    EXPECT_EQ(done(), Texts{"4 ok"});
    EXPECT_EQ(volume.left(), std::vector<Worker>{kWorker});
}

TEST_F(VolumeFaults, unmount_and_remove_of_a_detached_volume) {
    be_detached();
    EXPECT_EQ(unmount(), Texts{"4 ok"});
    EXPECT_EQ(submit(Remove{}), Texts{"save_live"});
    EXPECT_EQ(done(), Texts{"stop"});
    EXPECT_EQ(busy(), Texts{"detach"});
    EXPECT_EQ(done(), Texts{"save_live"});
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(ended(), Texts{"erase_live"});
    EXPECT_EQ(done(), Texts{"erase_definition"});
    EXPECT_EQ(done(), Texts{"5 ok"});
}

TEST_F(LeasedVolumeFaults, detached_volume_is_forgotten_when_its_data_is_safe) {
    be_detached();
    EXPECT_EQ(ended(), Texts{"erase_live"});
    EXPECT_EQ(done(), Texts{"erase_definition"});
    done();
    EXPECT_TRUE(volume.is_gone());
}

TEST_F(VolumeFaults, unmount_that_fails_altogether_leaves_it_failed_and_can_be_repeated) {
    be_mounted();
    unmount();
    done();
    busy();
    EXPECT_EQ(done(core::Failure{EIO, "no"}), Texts{"3 error unmounting volume: no"});
    EXPECT_EQ(volume.state(), State::failed);
    EXPECT_EQ(volume.reason(), "no");
    EXPECT_EQ(unmount(), Texts{"save_live"});
    EXPECT_EQ(done(), Texts{"stop"});
    stopped();
    EXPECT_EQ(done(), Texts{"4 ok"});
}

TEST_F(VolumeFaults, dead_worker_makes_it_failed_with_the_reason) {
    be_mounted();
    EXPECT_EQ(
        ended({"killed by signal 9"}),
        (Texts{"note its worker ended: killed by signal 9", "save_live"})
    );
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(volume.state(), State::failed);
    EXPECT_EQ(volume.reason(), "its worker ended: killed by signal 9");
    EXPECT_EQ(volume.mountpoint(), "");
    EXPECT_EQ(ended(), Texts{});
}

TEST_F(VolumeFaults, end_of_another_worker_means_nothing) {
    be_mounted();
    EXPECT_EQ(send(WorkerEnded{kSecondWorker.id, {"?"}}), Texts{});
    EXPECT_EQ(volume.state(), State::mounted);
}

TEST_F(VolumeFaults, next_mount_of_a_failed_volume_makes_it_new) {
    be_mounted();
    ended({"killed"});
    done();
    EXPECT_EQ(mount("h2"), Texts{"save_live"});
    EXPECT_EQ(done(), Texts{"detach"});  // nobody is there to be stopped
    EXPECT_EQ(done(), Texts{"erase_live"});
    EXPECT_EQ(done(), Texts{"prepare"});
    prepared();
    done();
    started(kSecondWorker);
    EXPECT_EQ(done(), Texts{"3 ok"});
    EXPECT_EQ(volume.holders(), (Texts{"h1", "h2"}));
    EXPECT_EQ(volume.reason(), "");
    EXPECT_EQ(unmount("h1"), Texts{"save_live"});
    EXPECT_EQ(done(), Texts{"4 ok"});
    EXPECT_EQ(volume.state(), State::mounted);
}

TEST_F(VolumeFaults, unmount_of_a_failed_volume_cleans_up) {
    be_mounted();
    ended({"killed"});
    done();
    EXPECT_EQ(unmount(), Texts{"save_live"});
    EXPECT_EQ(done(), Texts{"detach"});
    EXPECT_EQ(done(), Texts{"erase_live"});
    EXPECT_EQ(done(), Texts{"3 ok"});
    EXPECT_EQ(volume.state(), State::created);
}

TEST_F(VolumeFaults, end_that_cannot_be_saved_is_told_and_not_tried_for_ever) {
    be_mounted();
    ended({"killed"});
    EXPECT_EQ(done(kDisk), Texts{"note disk"});
    EXPECT_EQ(volume.state(), State::failed);
}

TEST_F(VolumeFaults, mount_that_comes_while_an_end_is_saved_waits_for_it) {
    be_mounted();
    ended({"killed"});
    EXPECT_EQ(mount("h2"), Texts{});
    EXPECT_EQ(done(), Texts{"save_live"});
    EXPECT_EQ(done(), Texts{"detach"});
    EXPECT_EQ(done(), Texts{"erase_live"});
    EXPECT_EQ(done(), Texts{"prepare"});
    EXPECT_EQ(volume.record().told_end, "");
}

TEST_F(VolumeFaults, worker_that_dies_before_the_answer_fails_the_mount) {
    be_created();
    mount();
    prepared();
    done();
    started();
    EXPECT_EQ(ended({"killed"}), Texts{});
    EXPECT_EQ(done(), (Texts{"note its worker ended: killed", "save_live"}));
    EXPECT_EQ(done(), Texts{"detach"});
    EXPECT_EQ(done(), Texts{"erase_live"});
    EXPECT_EQ(
        done(), Texts{"2 cannot mount nas1:/exports/a: its worker ended (killed); try again"}
    );
    EXPECT_EQ(volume.state(), State::created);
}

TEST_F(VolumeFaults, worker_that_dies_before_the_answer_of_a_second_holder_fails_that_mount) {
    be_mounted();
    EXPECT_EQ(mount("h2"), Texts{"save_live"});
    EXPECT_EQ(ended({"killed"}), Texts{});
    EXPECT_EQ(
        done(),
        (Texts{
            "3 cannot mount nas1:/exports/a: its worker ended (killed); try again",
            "note its worker ended: killed",
            "save_live"})
    );
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(volume.state(), State::failed);
    EXPECT_EQ(volume.holders(), Texts{"h1"});
    EXPECT_EQ(mount("h2"), Texts{"save_live"});  // makes it new
}

TEST_F(VolumeFaults, worker_that_dies_while_it_is_stopped) {
    be_mounted();
    unmount();
    done();
    ended({"killed"});
    EXPECT_EQ(
        busy(),
        (Texts{
            "note taken away while its worker still flushes: the server does not answer", "detach"})
    );
    EXPECT_EQ(done(), Texts{"erase_live"});
    EXPECT_EQ(done(), Texts{"3 ok"});
}

// After kill -9.

LiveRecord record(LiveRecord::Phase phase) {
    LiveRecord record{
        phase, kWorker, "nas1:/exports/a", {1001, 1001, {}, "declared", ""}, {{"h1"}}};
    if (phase == LiveRecord::Phase::mounting) record.worker = {};
    return record;
}

TEST_F(VolumeFaults, restart_finds_a_definition) {
    EXPECT_EQ(tell(volume.restore(define(), std::nullopt)), Texts{});
    EXPECT_EQ(volume.state(), State::created);
}

TEST_F(VolumeFaults, restart_adopts_a_mount_and_commands_wait_for_it) {
    EXPECT_EQ(tell(volume.restore(define(), record(LiveRecord::Phase::mounted))), Texts{"adopt"});
    EXPECT_EQ(volume.state(), State::mounting);
    EXPECT_EQ(volume.record(), record(LiveRecord::Phase::mounted));
    EXPECT_EQ(mount("h1"), Texts{});
    EXPECT_EQ(started(), Texts{"1 ok"});
    EXPECT_EQ(volume.state(), State::mounted);
    EXPECT_EQ(volume.holders(), Texts{"h1"});
}

TEST_F(VolumeFaults, restart_knows_how_often_a_holder_mounted) {
    auto before = record(LiveRecord::Phase::mounted);
    before.holders = {{"h1", 2}};
    volume.restore(define(), before);
    started();
    EXPECT_EQ(unmount("h1"), Texts{"save_live"});
    EXPECT_EQ(done(), Texts{"1 ok"});
    EXPECT_EQ(volume.state(), State::mounted);
    unmount("h1");
    EXPECT_EQ(volume.state(), State::unmounting);
}

TEST_F(VolumeFaults, restart_before_an_answer_was_known_to_arrive_makes_its_retry_the_only_mount) {
    auto before = record(LiveRecord::Phase::mounted);
    before.holders = {{"h1", 0}};
    volume.restore(define(), before);
    started();
    EXPECT_EQ(mount("h1"), Texts{"1 ok"});
    delivered(1);
    done();
    EXPECT_EQ(volume.record().holders, (std::vector<Hold>{{"h1", 1}}));
    unmount("h1");
    EXPECT_EQ(volume.state(), State::unmounting);
}

TEST_F(VolumeFaults, restart_before_an_answer_was_known_to_arrive_lets_it_be_unmounted) {
    auto before = record(LiveRecord::Phase::mounted);
    before.holders = {{"h1", 0}};
    volume.restore(define(), before);
    started();
    unmount("h1");
    EXPECT_EQ(volume.state(), State::unmounting);
}

TEST_F(VolumeFaults, restart_knows_by_which_rule_a_mount_was_allowed) {
    auto before = record(LiveRecord::Phase::mounted);
    before.worker.rule = "rule 2 (team-a)";
    volume.restore(define(), before);
    EXPECT_EQ(started(), Texts{});  // whoever finds the mount was not asked whether it may be
    EXPECT_EQ(volume.record().worker.rule, "rule 2 (team-a)");
}

TEST_F(VolumeFaults, restart_reports_a_mount_whose_worker_is_gone) {
    volume.restore(define(), record(LiveRecord::Phase::mounted));
    EXPECT_EQ(
        send(Started{core::Failure{ESRCH, "process 4711 is another"}}),
        (Texts{
            std::string("note its worker ended: process 4711 is another; lost: ") + kUnseenEnd,
            "save_live"})
    );
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(volume.state(), State::failed);
    EXPECT_EQ(volume.reason(), "process 4711 is another");
    EXPECT_EQ(unmount(), Texts{"save_live"});
    EXPECT_EQ(done(), Texts{"detach"});
}

TEST_F(VolumeFaults, restart_does_not_tell_again_of_an_end_that_was_told) {
    be_mounted();
    ended({"killed"});
    const auto before = volume.record();
    Volume again(volume.key(), Lifetime::until_removed, {});
    again.restore(define(), before);
    EXPECT_EQ(
        tell(again.handle(Started{core::Failure{ESRCH, "process 4711 is another"}}, now)), Texts{}
    );
    EXPECT_EQ(again.state(), State::failed);
    EXPECT_EQ(again.reason(), "its worker ended: killed");
    EXPECT_EQ(again.record(), before);
}

TEST_F(VolumeFaults, restart_that_finds_alive_what_was_told_to_have_ended_forgets_the_end) {
    auto before = record(LiveRecord::Phase::mounted);
    before.told_end = "killed";
    volume.restore(define(), before);
    EXPECT_EQ(started(), Texts{"save_live"});
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(volume.state(), State::mounted);
    EXPECT_EQ(volume.record().told_end, "");
}

TEST_F(VolumeFaults, restart_in_the_middle_of_a_mount_ends_it) {
    volume.restore(define(), record(LiveRecord::Phase::mounting));
    EXPECT_EQ(started(), Texts{"save_live"});
    EXPECT_EQ(done(), Texts{"stop"});
    EXPECT_EQ(stopped(), Texts{"erase_live"});
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(volume.state(), State::created);
    EXPECT_EQ(volume.holders(), Texts{});
}

TEST_F(VolumeFaults, restart_before_a_worker_was_started_leaves_nothing) {
    volume.restore(define(), record(LiveRecord::Phase::mounting));
    EXPECT_EQ(send(Started{core::Failure{ENOENT, "none"}}), Texts{"erase_live"});
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(volume.state(), State::created);
}

TEST_F(LeasedVolumeFaults, restart_in_the_middle_of_an_unmount_finishes_it) {
    volume.restore(define(), record(LiveRecord::Phase::unmounting));
    EXPECT_EQ(started(), Texts{"save_live"});
    EXPECT_EQ(done(), Texts{"stop"});
    EXPECT_EQ(stopped(), Texts{"erase_live"});
    EXPECT_EQ(done(), Texts{"erase_definition"});
    done();
    EXPECT_TRUE(volume.is_gone());
}

TEST_F(VolumeFaults, restart_waits_for_a_detached_one) {
    volume.restore(define(), record(LiveRecord::Phase::detached));
    EXPECT_EQ(started(), Texts{});
    EXPECT_EQ(volume.state(), State::detached);
    EXPECT_EQ(ended(), Texts{"erase_live"});
}

TEST_F(VolumeFaults, restart_tells_of_a_detached_one_whose_end_nobody_saw) {
    volume.restore(define(), record(LiveRecord::Phase::detached));
    EXPECT_EQ(
        send(Started{core::Failure{ESRCH, "nothing is mounted there"}}),
        (Texts{std::string("note ") + kUnseenEnd, "erase_live"})
    );
}

TEST_F(VolumeFaults, restart_without_a_definition_keeps_the_mount_until_it_is_unmounted) {
    volume.restore(nullptr, record(LiveRecord::Phase::mounted));
    started();
    EXPECT_EQ(volume.state(), State::mounted);
    unmount();
    done();
    stopped();
    EXPECT_EQ(done(), Texts{"1 ok"});
    EXPECT_TRUE(volume.is_gone());
}

}  // namespace uidnfs::plugins::testing
