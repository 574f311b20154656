// SPDX-License-Identifier: Apache-2.0
// Volume: each command in each state, repeated, lost and concurrent ones.
#include "tests/plugins/volume_fixture.hpp"

namespace uidnfs::plugins::testing {

TEST_F(VolumeTest, create_is_saved_before_it_is_answered) {
    EXPECT_EQ(create(), Texts{"save_definition"});
    EXPECT_EQ(volume.state(), State::absent);
    EXPECT_EQ(done(), Texts{"1 ok"});
    EXPECT_EQ(volume.state(), State::created);
}

TEST_F(VolumeTest, create_that_cannot_be_saved_creates_nothing) {
    create();
    EXPECT_EQ(
        done(core::Failure{ENOSPC, "cannot write /var/lib/x: No space left on device"}),
        Texts{"1 persist state failed when creating: cannot write /var/lib/x: No space left on "
              "device"}
    );
    EXPECT_TRUE(volume.is_gone());
    EXPECT_EQ(volume.definition(), nullptr);
}

TEST_F(VolumeTest, create_again_with_the_same_options_changes_nothing) {
    be_mounted();
    EXPECT_EQ(create(), Texts{"3 ok"});
    EXPECT_EQ(volume.state(), State::mounted);
}

TEST_F(VolumeTest, create_replaces_what_is_not_mounted) {
    be_created();
    EXPECT_EQ(submit(Create{define("nas1:/exports/b")}), Texts{"save_definition"});
    EXPECT_EQ(done(), Texts{"2 ok"});
    EXPECT_EQ(volume.definition()->source, "nas1:/exports/b");
}

TEST_F(VolumeTest, create_that_cannot_be_saved_leaves_the_old_definition) {
    be_created();
    submit(Create{define("nas1:/exports/b")});
    done(core::Failure{EIO, "disk"});
    EXPECT_EQ(volume.state(), State::created);
    EXPECT_EQ(volume.definition()->source, "nas1:/exports/a");
}

TEST_F(VolumeTest, create_with_other_options_is_refused_while_mounted) {
    be_mounted();
    EXPECT_EQ(
        submit(Create{define("nas1:/exports/b")}),
        Texts{"3 cannot change volume a: it is mounted with other options; unmount it first"}
    );
    EXPECT_EQ(volume.definition()->source, "nas1:/exports/a");
}

TEST_F(VolumeTest, another_password_is_another_definition) {
    auto with = [](std::string_view password) {
        auto definition = std::make_shared<Definition>();
        definition->source = "nas1:/exports/a";
        definition->password = core::Secret(password);
        definition->password_state = Definition::Password::here;
        return definition;
    };
    submit(Create{with("one")});
    done();
    EXPECT_EQ(submit(Create{with("one")}), Texts{"2 ok"});
    EXPECT_EQ(submit(Create{with("two")}), Texts{"save_definition"});
}

TEST_F(VolumeTest, mount_takes_its_steps_in_order) {
    be_created();
    EXPECT_EQ(mount(), Texts{"prepare"});
    EXPECT_EQ(volume.state(), State::mounting);
    EXPECT_EQ(prepared(), Texts{"save_live"});
    EXPECT_EQ(volume.record().phase, LiveRecord::Phase::mounting);
    EXPECT_EQ(done(), Texts{"start"});
    EXPECT_EQ(started(), Texts{"save_live"});
    EXPECT_EQ(volume.record().phase, LiveRecord::Phase::mounted);
    EXPECT_EQ(volume.record().holders, (std::vector<Hold>{{"h1", 0}}));
    EXPECT_EQ(volume.record().worker, kWorker);
    EXPECT_EQ(volume.mountpoint(), "");
    EXPECT_EQ(done(), Texts{"2 ok"});
    EXPECT_EQ(volume.state(), State::mounted);
    EXPECT_EQ(volume.mountpoint(), kWorker.mountpoint);
}

TEST_F(VolumeTest, mount_of_an_unknown_volume_is_refused) {
    EXPECT_EQ(mount(), Texts{"1 Volume 'a' must be created before being mounted"});
    EXPECT_TRUE(volume.is_gone());
}

TEST_F(VolumeTest, steps_share_the_deadline_of_their_mount) {
    be_created();
    const auto deadline = now + 7s;
    auto actions = volume.handle(Submitted{{2, deadline, Mount{"h1"}}}, now);
    EXPECT_EQ(std::get<Do>(actions.at(0)), (Do{Step::prepare, deadline}));
    now += 2s;
    prepared();
    actions = volume.handle(Done{{}}, now);
    EXPECT_EQ(std::get<Do>(actions.at(0)), (Do{Step::start, deadline}));
}

TEST_F(VolumeTest, answer_that_arrived_is_saved_behind_it) {
    be_mounted();
    EXPECT_EQ(delivered(2), Texts{"save_live"});
    EXPECT_EQ(volume.state(), State::mounted);
    EXPECT_EQ(volume.record().holders, (std::vector<Hold>{{"h1", 1}}));
    EXPECT_EQ(done(), Texts{});
    EXPECT_EQ(delivered(2), Texts{});
    EXPECT_EQ(volume.next_deadline(), std::nullopt);
}

TEST_F(VolumeTest, every_mount_of_one_holder_needs_its_unmount) {
    be_mounted();
    delivered(2);
    done();
    EXPECT_EQ(mount(), Texts{"4 ok"});
    EXPECT_EQ(delivered(4), Texts{"save_live"});
    EXPECT_EQ(volume.record().holders, (std::vector<Hold>{{"h1", 2}}));
    done();
    EXPECT_EQ(volume.holders(), Texts{"h1"});
    EXPECT_EQ(unmount(), Texts{"save_live"});
    EXPECT_EQ(volume.record().phase, LiveRecord::Phase::mounted);
    EXPECT_EQ(volume.record().holders, (std::vector<Hold>{{"h1", 1}}));
    EXPECT_EQ(done(), Texts{"6 ok"});
    EXPECT_EQ(volume.state(), State::mounted);
    EXPECT_EQ(volume.holders(), Texts{"h1"});
    unmount();
    EXPECT_EQ(volume.state(), State::unmounting);
}

TEST_F(VolumeTest, unmount_may_come_before_the_word_that_its_mount_arrived) {
    be_mounted();
    delivered(2);
    done();
    mount();
    unmount();
    done();
    EXPECT_EQ(volume.state(), State::mounted);
    EXPECT_EQ(delivered(4), Texts{"save_live"});
    done();
    EXPECT_EQ(volume.holders(), Texts{"h1"});
    unmount();
    EXPECT_EQ(volume.state(), State::unmounting);
    EXPECT_EQ(delivered(4), Texts{});
}

TEST_F(LeasedVolumeTest, one_unmount_ends_every_mount_of_a_holder) {
    be_mounted();
    EXPECT_EQ(delivered(2), Texts{});
    EXPECT_EQ(mount(), Texts{"4 ok"});
    EXPECT_EQ(delivered(4), Texts{});
    EXPECT_EQ(volume.record().holders, (std::vector<Hold>{{"h1", 1}}));
    unmount();
    EXPECT_EQ(volume.state(), State::unmounting);
}

TEST_F(VolumeTest, second_holder_is_saved_before_it_is_answered) {
    be_mounted();
    EXPECT_EQ(mount("h2"), Texts{"save_live"});
    EXPECT_EQ(volume.state(), State::mounted);
    EXPECT_EQ(done(), Texts{"3 ok"});
    EXPECT_EQ(volume.holders(), (Texts{"h1", "h2"}));
}

TEST_F(VolumeTest, second_holder_that_cannot_be_saved_holds_nothing) {
    be_mounted();
    mount("h2");
    EXPECT_EQ(
        done(core::Failure{EIO, "disk"}), Texts{"3 persist state failed when mounting: disk"}
    );
    EXPECT_EQ(volume.holders(), Texts{"h1"});
    EXPECT_EQ(volume.state(), State::mounted);
}

TEST_F(VolumeTest, concurrent_mounts_make_one_mount) {
    be_created();
    mount("h1");
    EXPECT_EQ(mount("h2"), Texts{});
    EXPECT_EQ(mount("h1"), Texts{});
    prepared();
    done();
    started();
    EXPECT_EQ(done(), (Texts{"2 ok", "save_live"}));
    EXPECT_EQ(done(), (Texts{"3 ok", "4 ok"}));
    EXPECT_EQ(volume.holders(), (Texts{"h1", "h2"}));
}

TEST_F(VolumeTest, unmount_of_the_last_holder_ends_the_mount) {
    be_mounted();
    EXPECT_EQ(unmount(), Texts{"save_live"});
    EXPECT_EQ(volume.record().phase, LiveRecord::Phase::unmounting);
    EXPECT_EQ(done(), Texts{"stop"});
    EXPECT_EQ(stopped(), Texts{"erase_live"});
    EXPECT_EQ(done(), Texts{"3 ok"});
    EXPECT_EQ(volume.state(), State::created);
    EXPECT_EQ(volume.worker(), std::nullopt);
}

TEST_F(VolumeTest, unmount_of_one_of_two_holders_keeps_the_mount) {
    be_mounted();
    mount("h2");
    done();
    EXPECT_EQ(unmount("h1"), Texts{"save_live"});
    EXPECT_EQ(done(), Texts{"4 ok"});
    EXPECT_EQ(volume.state(), State::mounted);
    EXPECT_EQ(volume.holders(), Texts{"h2"});
}

TEST_F(VolumeTest, unmount_of_an_unknown_holder_is_harmless) {
    be_mounted();
    EXPECT_EQ(unmount("stranger"), Texts{"3 ok"});
    EXPECT_EQ(volume.state(), State::mounted);
    EXPECT_EQ(volume.holders(), Texts{"h1"});
}

TEST_F(VolumeTest, repeated_unmount_is_harmless) {
    be_mounted();
    unmount();
    done();
    stopped();
    done();
    EXPECT_EQ(unmount(), Texts{"4 ok"});
    EXPECT_EQ(volume.state(), State::created);
}

TEST_F(VolumeTest, unmount_of_an_absent_volume_says_so) {
    EXPECT_EQ(unmount(), Texts{"1 Volume 'a' not found"});
}

TEST_F(VolumeTest, unmount_behind_its_mount_waits_for_it) {
    be_created();
    mount();
    EXPECT_EQ(unmount(), Texts{});
    prepared();
    done();
    started();
    EXPECT_EQ(done(), (Texts{"2 ok", "save_live"}));
    done();
    stopped();
    EXPECT_EQ(done(), Texts{"3 ok"});
    EXPECT_EQ(volume.state(), State::created);
}

TEST_F(VolumeTest, mount_behind_the_last_unmount_makes_a_new_one) {
    be_mounted();
    unmount("h1");
    mount("h2");
    done();
    stopped();
    EXPECT_EQ(done(), (Texts{"3 ok", "prepare"}));
    finish_mount();
    EXPECT_EQ(volume.holders(), Texts{"h2"});
    EXPECT_EQ(volume.state(), State::mounted);
}

TEST_F(VolumeTest, remove_erases_the_definition) {
    be_created();
    EXPECT_EQ(submit(Remove{}), Texts{"erase_definition"});
    EXPECT_EQ(done(), Texts{"2 ok"});
    EXPECT_TRUE(volume.is_gone());
    EXPECT_EQ(submit(Remove{}), Texts{"3 ok"});
}

TEST_F(VolumeTest, remove_that_cannot_be_saved_removes_nothing) {
    be_created();
    submit(Remove{});
    EXPECT_EQ(
        done(core::Failure{EIO, "disk"}), Texts{"2 persist state failed when removing: disk"}
    );
    EXPECT_EQ(volume.state(), State::created);
}

TEST_F(VolumeTest, remove_ends_a_mount_whose_unmount_got_lost) {
    be_mounted();
    EXPECT_EQ(submit(Remove{}), Texts{"save_live"});
    EXPECT_EQ(done(), Texts{"stop"});
    EXPECT_EQ(stopped(), Texts{"erase_live"});
    EXPECT_EQ(done(), Texts{"erase_definition"});
    EXPECT_EQ(done(), Texts{"3 ok"});
    EXPECT_TRUE(volume.is_gone());
}

TEST_F(VolumeTest, drain_unmounts_whoever_holds_it_and_keeps_the_definition) {
    be_mounted();
    mount("h2");
    done();
    EXPECT_EQ(submit(Drain{}), Texts{"save_live"});
    done();
    stopped();
    EXPECT_EQ(done(), Texts{"4 ok"});
    EXPECT_EQ(volume.state(), State::created);
    EXPECT_EQ(volume.holders(), Texts{});
}

TEST_F(LeasedVolumeTest, the_last_unmount_forgets_the_volume) {
    be_mounted();
    unmount();
    done();
    stopped();
    EXPECT_EQ(done(), Texts{"erase_definition"});
    EXPECT_EQ(done(), Texts{"3 ok"});
    EXPECT_TRUE(volume.is_gone());
    EXPECT_EQ(unmount(), Texts{"4 Volume 'a' not found"});
}

TEST_F(LeasedVolumeTest, unmount_after_a_failed_mount_forgets_the_volume) {
    be_created();
    mount();
    send(Prepared{core::Failure{EINVAL, "no"}});
    EXPECT_EQ(volume.state(), State::created);
    EXPECT_EQ(unmount(), Texts{"erase_definition"});
    EXPECT_EQ(done(), Texts{"3 ok"});
}

TEST_F(LeasedVolumeTest, drain_forgets_the_volume) {
    be_mounted();
    submit(Drain{});
    done();
    stopped();
    EXPECT_EQ(done(), Texts{"erase_definition"});
    EXPECT_EQ(done(), Texts{"3 ok"});
}

}  // namespace uidnfs::plugins::testing
