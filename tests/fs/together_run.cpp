// SPDX-License-Identifier: Apache-2.0
#include "fs/together_run.hpp"

#include "core/log.hpp"
#include "fs/together_files.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <random>
#include <stdexcept>

namespace uidnfs::test {
namespace {

using namespace std::chrono_literals;
using core::Task;

constexpr std::array<const char*, TogetherStep::kKinds> kNames{
    "round",  "create", "open", "close",     "flush", "read",         "write",    "write_direct",
    "append", "cut",    "sync", "stat_open", "stat",  "chmod",        "truncate", "remove",
    "rename", "link",   "list", "forget",    "wait",  "crash_server", "trouble",  "kill"};
/// How often each kind is drawn.
constexpr std::array<int, TogetherStep::kKinds> kWeights{5, 7, 7, 6, 2, 9, 10, 4, 3, 4, 3, 4,
                                                         6, 2, 3, 6, 6, 2, 3,  3, 1, 1, 5, 3};

struct Mismatch : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class Run : TogetherFiles {
public:
    explicit Run(const TogetherPlan& plan) : TogetherFiles(plan) {}

    std::optional<TogetherFailure> go() {
        std::optional<TogetherFailure> failure;
        std::size_t at = 0;
        try {
            while (at < plan_.steps.size()) at = round(at);
            finish();
        } catch (const std::exception& error) {
            failure = TogetherFailure{at_, error.what()};
        }
        server().forget_faults();
        mount_->client().resend_ignored();
        const auto deadline = std::chrono::steady_clock::now() + 10s;
        world_.run(fs().drain(deadline));
        world_.serve_until([&] { return mount_->client().in_flight() == 0; });
        world_.serve_what_follows();
        const auto& violations = mount_->client().violations();
        if (!failure && !violations.empty()) failure = TogetherFailure{at_, violations.front()};
        return failure;
    }

private:
    // --- rounds ----------------------------------------------------------------------------------

    std::size_t round(std::size_t first) {
        auto last = first;
        while (last < plan_.steps.size() && plan_.steps[last].kind != Kind::round) ++last;
        at_ = last;
        std::vector<Task<int>> threads;
        for (std::size_t i = 0; i < plan_.threads; ++i) threads.push_back(thread(i, first, last));
        world_.run_all(std::move(threads));
        if (!failure_.empty()) throw Mismatch(failure_);
        if (last == plan_.steps.size()) return last;
        doing_ = "between rounds";
        if (plan_.steps[last].n[1] % 4 == 0) {
            mount_->kill_and_restart();
            doing_ = "after a kill";
        }
        compare_all();
        return last + 1;
    }
    Task<int> thread(std::size_t number, std::size_t first, std::size_t last) {
        for (auto i = first; i < last; ++i) {
            if (plan_.steps[i].thread != number) continue;
            if (!failure_.empty()) break;
            co_await take(plan_.steps[i]);
        }
        co_return 0;
    }
    Task<void> take(const TogetherStep& step) {
        doing_ = describe(step);
        switch (step.kind) {
            case Kind::create: return create(step);
            case Kind::open: return open(step.n);
            case Kind::close:
            case Kind::flush:
            case Kind::read:
            case Kind::write:
            case Kind::write_direct:
            case Kind::append:
            case Kind::cut:
            case Kind::sync:
            case Kind::stat_open: return use_open(step);
            case Kind::stat: return stat(step.n);
            case Kind::chmod: return change(step.n, Kind::chmod);
            case Kind::truncate: return change(step.n, Kind::truncate);
            case Kind::remove: return remove(step.n);
            case Kind::rename: return rename(step.n);
            case Kind::link: return link(step.n);
            case Kind::list: return list(step.n);
            case Kind::forget: return forget(step.n);
            default: return disturb(step);
        }
    }
    Task<void> disturb(const TogetherStep& step) {
        if (step.kind == Kind::wait)
            world_.clock.advance(std::chrono::milliseconds(step.n[0] % 90'000));
        if (step.kind == Kind::crash_server) server().crash();
        if (step.kind == Kind::trouble) server().inject(random_fault(server(), step.n));
        if (step.kind == Kind::kill) co_await kernel_->kill();
    }

    // --- while nothing is under way --------------------------------------------------------------

    void compare_all() {
        for (std::size_t i = 0; i < kDirectories.size(); ++i) {
            for (std::size_t j = 0; j < kNamesEach; ++j) compare_place(place(i, j));
        }
        for (const auto& opened : opened_) {
            if (mount_->read_all(opened->file) != opened->node->content.now()) {
                throw Mismatch(doing_ + ": an open file differs");
            }
        }
        world_.run(list({0, 0, 2, 0}));
        world_.run(list({1, 1, 2, 0}));
        if (!failure_.empty()) throw Mismatch(failure_);
    }
    static std::string difference(
        const std::string& when,
        const std::string& path,
        const std::string& got,
        const std::string& wanted
    ) {
        const auto [a, b] = std::mismatch(got.begin(), got.end(), wanted.begin(), wanted.end());
        return fmt::format(
            "{}: {} has {} bytes, expected {}; they differ from {} on",
            when,
            path,
            got.size(),
            wanted.size(),
            a - got.begin()
        );
    }
    void compare_place(Place at) {
        const auto id = world_.run(look(at));
        if (!failure_.empty()) throw Mismatch(failure_);
        if (id == 0) return;
        const auto node = nodes_[id];
        if (const int code = world_.run(compare_stat(node))) expect(code, 0, "stat " + at.path);
        if (!failure_.empty()) throw Mismatch(failure_ + " " + at.path);
        const auto opened = world_.run(fs().open(caller(), id, O_RDONLY));
        if (!opened) throw Mismatch(fmt::format("{}: cannot open {}", doing_, at.path));
        const File file{id, opened->open};
        const auto content = mount_->read_all(file);
        mount_->close_file(file);
        if (content != node->content.now()) {
            throw Mismatch(difference(doing_, at.path, content, node->content.now()));
        }
    }
    void finish() {
        at_ = plan_.steps.size();
        doing_ = "at the end";
        compare_all();
        while (!opened_.empty()) {
            const auto opened = opened_.back();
            opened_.pop_back();
            world_.run(close(opened));
        }
        server().forget_faults();
        mount_->client().resend_ignored();
        const auto deadline = std::chrono::steady_clock::now() + 10s;
        if (!world_.run(fs().drain(deadline)).empty()) throw Mismatch("bytes are left");
        // A worker that took over may still be removing a file that was closed at that moment.
        world_.serve_until([&] { return mount_->client().in_flight() == 0; });
        world_.serve_what_follows();
        compare_all();
        for (std::size_t i = 0; i < kDirectories.size(); ++i) {
            for (const auto& name : server().names(kDirectories[i])) {
                if (name.starts_with(".nfs")) throw Mismatch("left on the server: " + name);
                const auto& node =
                    directories_[i]->names[static_cast<std::size_t>(name[1] - '0')].now();
                if (!node) throw Mismatch("on the server only: " + name);
                const auto path = fmt::format("{}/{}", kDirectories[i], name);
                if (server().disk_content(path) != node->content.now()) {
                    throw Mismatch(path + " differs on the server's disk");
                }
            }
        }
    }

    std::size_t at_ = 0;
};

}  // namespace

std::string describe(const TogetherStep& step) {
    return fmt::format(
        "thread {} {} {{{}}}",
        step.thread,
        kNames[static_cast<std::size_t>(step.kind)],
        fmt::join(step.n, ", ")
    );
}

TogetherPlan make_together_plan(
    std::uint64_t seed, std::size_t threads, std::size_t steps, Deaths deaths
) {
    std::mt19937_64 random(seed);
    std::discrete_distribution<int> kinds(kWeights.begin(), kWeights.end());
    TogetherPlan plan{seed, threads, {}};
    for (std::size_t i = 0; i < steps; ++i) {
        TogetherStep step{static_cast<TogetherStep::Kind>(kinds(random)), {}, {}};
        if (step.kind == TogetherStep::Kind::kill && deaths == Deaths::between_rounds) {
            step.kind = TogetherStep::Kind::wait;
        }
        step.thread = static_cast<std::uint8_t>(random() % threads);
        for (auto& number : step.n) number = static_cast<std::uint32_t>(random() % 1'000'000);
        plan.steps.push_back(step);
    }
    return plan;
}

std::optional<TogetherFailure> run_together(const TogetherPlan& plan) {
    core::log::set_level(core::log::Level::off);
    return Run(plan).go();
}

TogetherPlan shrink(TogetherPlan plan) { return shrink_with(std::move(plan), run_together); }

}  // namespace uidnfs::test
