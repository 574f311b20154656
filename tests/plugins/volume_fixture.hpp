// SPDX-License-Identifier: Apache-2.0
// A Volume under test: two-word helpers that send events and tell what it asked for, as text.
#pragma once

#include "plugins/core/volume.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

namespace uidnfs::plugins::testing {

using namespace std::chrono_literals;
using Texts = std::vector<std::string>;

inline DefinitionPtr define(std::string source = "nas1:/exports/a") {
    auto definition = std::make_shared<Definition>();
    definition->source = std::move(source);
    definition->options = {{"gid", "1001"}, {"uid", "1001"}};
    return definition;
}

inline const Worker kWorker{{4711, 99}, "/var/lib/uidnfs/volumes/docker-a", "/run/uidnfs/a.sock"};
inline const Worker kSecondWorker{{4712, 100}, kWorker.mountpoint, kWorker.control};

class VolumeTest : public ::testing::Test {
protected:
    explicit VolumeTest(Lifetime lifetime = Lifetime::until_removed)
        : volume({Dialect::docker, "a"}, lifetime, {}) {}

    /// "save_live", "cancel", "1 ok", "2 cannot mount ...", "note ...".
    static Texts tell(const Actions& actions) {
        Texts texts;
        for (const auto& action : actions) {
            if (const auto* step = std::get_if<Do>(&action)) {
                texts.emplace_back(to_string(step->step));
            } else if (const auto* said = std::get_if<Answer>(&action)) {
                texts.push_back(fmt::format(
                    "{} {}", said->serial, said->result ? "ok" : said->result.error().user_text
                ));
            } else if (const auto* note = std::get_if<Note>(&action)) {
                texts.push_back("note " + note->text);
            } else {
                texts.emplace_back("cancel");
            }
        }
        return texts;
    }

    Texts send(Event event) { return tell(volume.handle(std::move(event), now)); }
    template <class What>
    Texts submit(What what, core::SteadyDuration within = 7s) {
        return send(Submitted{{++serial, now + within, std::move(what)}});
    }
    Texts create() { return submit(Create{define()}); }
    Texts mount(std::string holder = "h1") { return submit(Mount{std::move(holder)}); }
    Texts unmount(std::string holder = "h1") { return submit(Unmount{std::move(holder)}); }

    /// The answer of that Mount arrived.
    Texts delivered(Serial mount, std::string holder = "h1") {
        return submit(Delivered{std::move(holder), mount});
    }

    Texts done() { return send(Done{{}}); }
    Texts done(core::Failure failure) { return send(Done{std::move(failure)}); }
    Texts prepared() {
        return send(Prepared{MountSpec{
            .volume = volume.key(),
            .directory = "docker-a",
            .source = "nas1:/exports/a",
            .identity = {1001, 1001, {}, "declared", ""}}});
    }
    Texts started(Worker worker = kWorker) { return send(Started{std::move(worker)}); }
    Texts stopped() { return send(Stopped{Ended{}}); }
    Texts busy() { return send(Stopped{core::Failure{ETIMEDOUT, "the server does not answer"}}); }
    /// Its bytes are on the server, and somebody still uses it.
    Texts used() { return send(Stopped{core::Failure{EBUSY, "in use"}}); }
    Texts ended(Ended how = {}) { return send(WorkerEnded{kWorker.id, std::move(how)}); }
    Texts pass(core::SteadyDuration time) {
        now += time;
        return send(Tick{});
    }

    void be_created() {
        create();
        done();
        ASSERT_EQ(volume.state(), State::created);
    }
    /// As of the Mount that was just submitted.
    void finish_mount() {
        prepared();
        done();
        started();
        done();
    }
    void be_mounted() {
        be_created();
        mount();
        finish_mount();
        ASSERT_EQ(volume.state(), State::mounted);
    }
    void be_detached() {
        be_mounted();
        unmount();
        done();
        busy();
        done();
        done();
        ASSERT_EQ(volume.state(), State::detached);
    }

    /// Unmounted, and still used by somebody.
    void be_left() {
        be_mounted();
        unmount();
        done();
        used();
        done();
        done();
        ASSERT_EQ(volume.left(), std::vector<Worker>{kWorker});
    }

    Volume volume;
    core::SteadyTime now = core::SteadyTime() + 1h;
    Serial serial = 0;
};

class LeasedVolumeTest : public VolumeTest {
protected:
    LeasedVolumeTest() : VolumeTest(Lifetime::until_unmounted) {}
};

}  // namespace uidnfs::plugins::testing
