// SPDX-License-Identifier: Apache-2.0
#include "fs/together_run.hpp"

#include "core/log.hpp"
#include "fs/fixture.hpp"
#include "fs/kernel_requests.hpp"
#include "fs/together_parts.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <stdexcept>

namespace uidnfs::test {
namespace {

using namespace std::chrono_literals;
using core::Task;
using Kind = TogetherStep::Kind;

constexpr std::array<const char*, TogetherStep::kKinds> kNames{
    "round",  "create", "open", "close",     "flush", "read",         "write",    "write_direct",
    "append", "cut",    "sync", "stat_open", "stat",  "chmod",        "truncate", "remove",
    "rename", "link",   "list", "forget",    "wait",  "crash_server", "trouble",  "kill"};
/// How often each kind is drawn.
constexpr std::array<int, TogetherStep::kKinds> kWeights{5, 7, 7, 6, 2, 9, 10, 4, 3, 4, 3, 4,
                                                         6, 2, 3, 6, 6, 2, 3,  3, 1, 1, 5, 3};
constexpr std::array kDirectories{"/p", "/q"};
constexpr std::size_t kNamesEach = 4;
constexpr std::array kModes{0600u, 0640u, 0644u, 0755u};
constexpr std::size_t kMostOpen = 6;
constexpr std::size_t kMostBytes = 60'000;

struct Mismatch : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class Run {
public:
    explicit Run(const TogetherPlan& plan) : world_(random_behaviour(plan.seed)), plan_(plan) {
        auto with = default_options();
        choose_options(with, plan.seed);
        MemoryClient::Options client;
        client.travel = {4, plan.seed};
        client.lost_reply = LostReply::remember;
        mount_ = std::make_unique<Mount>(world_, with, client);
        kernel_.emplace(world_, *mount_, plan.seed);
        world_.explain_hangs([this] { return fmt::format("together: seed {}", plan_.seed); });
        for (std::size_t i = 0; i < kDirectories.size(); ++i) {
            if (mount_->make_dir(kDirectories[i]) != 0) throw std::runtime_error("no directory");
            auto& directory = directories_.emplace_back(std::make_unique<Directory>(reactor()));
            directory->id = mount_->walk(kDirectories[i]);
            for (std::size_t j = 0; j < kNamesEach; ++j) directory->names.emplace_back(nullptr);
        }
    }

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
    struct Directory {
        explicit Directory(core::Reactor& reactor) : lock(reactor) {}
        fs::InodeId id = 0;
        std::deque<Watched<KnownFileRef>> names;
        Lock lock;
    };
    struct Item {
        std::string name;
        std::uint64_t next_offset;
        fs::Entry entry;
    };
    struct Place {
        Directory& directory;
        std::string name;
        Watched<KnownFileRef>& watched;
        std::string path;
    };
    /// The kernel holds a reference while it works on an inode.
    class Pin {
    public:
        Pin(Run& run, fs::InodeId id) : run_(run), id_(id) { ++run_.pins_[id_]; }
        Pin(const Pin&) = delete;
        Pin& operator=(const Pin&) = delete;
        ~Pin() { --run_.pins_[id_]; }

    private:
        Run& run_;
        fs::InodeId id_;
    };

    core::Reactor& reactor() { return world_.reactor; }
    MemoryServer& server() { return world_.server; }
    fs::Filesystem& fs() { return mount_->fs(); }
    const fs::Caller& caller() const { return mount_->caller; }

    Place place(std::uint32_t number) {
        return place(number % kDirectories.size(), number / 7 % kNamesEach);
    }
    Place place(std::size_t which, std::size_t name) {
        auto& directory = *directories_[which];
        return {
            directory,
            fmt::format("n{}", name),
            directory.names[name],
            fmt::format("{}/n{}", kDirectories[which], name)};
    }

    void wrong(const std::string& what) {
        if (failure_.empty()) failure_ = doing_ + ": " + what;
    }
    void expect(int code, int expected, std::string_view what) {
        if (code != expected) {
            wrong(fmt::format("{}: errno {}, expected {}", what, code, expected));
        }
    }

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

    // --- names -----------------------------------------------------------------------------------

    void count(const fs::Entry& entry) {
        if (entry.id != 0) ++lookups_[entry.id];
    }
    /// `id` 0 where there is none; wrong() where neither was so meanwhile.
    Task<fs::InodeId> look(Place& at) {
        Window<KnownFileRef> window(at.watched);
        const auto asking = [&](fs::Filesystem& fs, const fs::Caller& who) {
            return fs.lookup(who, at.directory.id, at.name);
        };
        auto entry = co_await kernel_->ask(asking);
        if (!entry && entry.error().code() == ESTALE && window.seen().size() > 1) {
            entry = co_await kernel_->ask(asking);  // LOOKUP_REVAL
        }
        if (!entry && entry.error().code() != ENOENT) {
            wrong(fmt::format("lookup {}: {}", at.path, core::to_string(entry.error())));
            co_return 0;
        }
        if (!entry || entry->id == 0) {
            if (!window.any([](const KnownFileRef& node) { return !node; })) {
                wrong(fmt::format("{} was there and is not found", at.path));
            }
            co_return 0;
        }
        count(*entry);
        for (const auto& node : window.seen()) {
            if (node && node->id == entry->id) co_return entry->id;
        }
        for (const auto& node : window.seen()) {
            if (!node || node->id != 0) continue;
            node->id = entry->id;
            nodes_[entry->id] = node;
            co_return entry->id;
        }
        wrong(fmt::format("{} is inode {}, which it never was", at.path, entry->id));
        co_return 0;
    }
    /// By a path: a name that the kernel has is asked about without any lock; one that it has not, or
    /// that is not what it was, is not looked up while names change.
    Task<fs::InodeId> find(Place& at) {
        if (at.watched.now() && at.watched.now()->id != 0) {
            const auto known = at.watched.now()->id;
            const Pin pin(*this, known);
            const auto id = co_await look(at);
            if (id == known) co_return id;
        }
        co_await at.directory.lock.shared();
        const Held held(at.directory.lock);
        co_return co_await look(at);
    }
    using Names = Window<KnownFileRef>;
    /// The object of a name went meanwhile: the kernel looks it up again, once.
    static bool may_be_gone(const Names& window, const KnownFileRef& node) {
        return !window.all_are(node);
    }

    /// What is done with the file of a path: 0 or an errno. Once more where the name lost it meanwhile.
    template <class Operation>
    Task<void> at_path(std::uint32_t number, std::string_view what, Operation operation) {
        auto at = place(number);
        for (int attempt = 0; attempt < 2; ++attempt) {
            Window<KnownFileRef> window(at.watched);
            const auto id = co_await find(at);
            if (id == 0) co_return;
            const Pin pin(*this, id);
            const auto node = nodes_[id];
            const int code = co_await operation(node, window);
            if (code == 0) co_return;
            if ((code != ESTALE && code != ENOENT) || !may_be_gone(window, node)) {
                co_return expect(code, 0, fmt::format("{} {}", what, at.path));
            }
        }
    }
    Task<void> open(ModelNumbers n) {
        if (opened_.size() >= kMostOpen) co_return;
        const int flags = n[1] % 5 == 0 ? O_RDONLY : O_RDWR;
        co_await at_path(n[0], "open", [this, flags](KnownFileRef node, const Names&) {
            return open_node(std::move(node), flags);
        });
    }
    Task<int> open_node(KnownFileRef node, int flags) {
        const auto id = node->id;
        const auto opened = co_await kernel_->ask([&](fs::Filesystem& fs, const fs::Caller& who) {
            return fs.open(who, id, flags);
        });
        if (!opened) co_return opened.error().code();
        add_open(node, {id, opened->open, opened->pages, opened->caching}, flags);
        co_return 0;
    }
    void add_open(const KnownFileRef& node, File file, int flags) {
        ++node->opens;
        opened_.push_back(std::make_shared<Opened>(reactor(), file, node, flags));
    }

    Task<void> create(TogetherStep step) {
        if (opened_.size() >= kMostOpen) co_return;
        auto at = place(step.n[0]);
        co_await at.directory.lock.exclusive();
        {
            const Held held(at.directory.lock);
            const auto id = co_await look(at);
            if (!failure_.empty()) co_return;
            if (id == 0) {
                const mode_t mode = kModes[step.n[2] % kModes.size()];
                const int flags = O_RDWR | O_CREAT | (step.n[1] % 2 ? O_EXCL : O_TRUNC);
                const auto node = std::make_shared<KnownFile>(reactor(), mode);
                at.watched.begin(node);
                const auto made =
                    co_await kernel_->ask([&](fs::Filesystem& fs, const fs::Caller& who) {
                        return fs.create(who, at.directory.id, at.name, S_IFREG | mode, flags);
                    });
                if (!made) {
                    at.watched.give_up(node);
                    co_return expect(made.error().code(), 0, "create " + at.path);
                }
                if (node->id != 0 && node->id != made->entry.id) {
                    co_return wrong("create: another inode than lookup said");
                }
                node->id = made->entry.id;
                nodes_[node->id] = node;
                count(made->entry);
                at.watched.end(node);
                add_open(
                    node, {node->id, made->open.open, made->open.pages, made->open.caching}, O_RDWR
                );
                co_return;
            }
        }
        co_await open(step.n);
    }

    Task<void> stat(ModelNumbers n) {
        return at_path(n[0], "stat", [this](KnownFileRef node, const Names& names) {
            return compare_stat(node, &names);
        });
    }
    /// `names`: what stood under the name, since the call that looked it up began.
    Task<int> compare_stat(KnownFileRef node, const Names* names = nullptr) {
        Window<std::string> contents(node->content);
        Window<std::size_t> links(node->links);
        Window<mode_t> modes(node->mode);
        const auto id = node->id;
        const auto reply = co_await kernel_->ask([&](fs::Filesystem& fs, const fs::Caller& who) {
            return fs.getattr(who, id);
        });
        if (!reply) co_return reply.error().code();
        const auto& st = reply->stat;
        const auto [least, most] = sizes(contents);
        const auto size = static_cast<std::size_t>(st.st_size);
        // Of a file that is gone, with bytes that nobody can read any more, only that is told.
        const bool is_gone = st.st_nlink == 0 && node->opens == 0;
        if (!is_gone && (size < least || size > most)) {
            wrong(fmt::format("size {} is none of {} to {}", size, least, most));
        }
        const bool went =
            names && may_be_gone(*names, node) && st.st_nlink == node->links.now() + 1;
        if (!went && !links.any([&](std::size_t count) { return count == st.st_nlink; })) {
            wrong(fmt::format("{} links, expected {}", st.st_nlink, fmt::join(links.seen(), " or "))
            );
        }
        if (!modes.any([&](mode_t mode) { return mode == (st.st_mode & 07777); })) {
            wrong(fmt::format(
                "mode {:o}, expected {:o}", st.st_mode & 07777, fmt::join(modes.seen(), " or ")
            ));
        }
        co_return 0;
    }
    static std::pair<std::size_t, std::size_t> sizes(const Window<std::string>& contents) {
        std::size_t least = SIZE_MAX;
        std::size_t most = 0;
        for (const auto& content : contents.seen()) {
            least = std::min(least, content.size());
            most = std::max(most, content.size());
        }
        return {least, most};
    }

    /// chmod(2), truncate(2).
    Task<void> change(ModelNumbers n, Kind kind) {
        auto at = place(n[0]);
        const auto id = co_await find(at);
        if (id == 0) co_return;
        const Pin pin(*this, id);
        const auto node = nodes_[id];
        co_await node->lock.exclusive();
        const Held held(node->lock);
        const auto links = node->links.now();
        fs::SetAttrRequest request;
        if (kind == Kind::chmod) {
            request.mode = kModes[n[1] % kModes.size()];
            node->mode.begin(*request.mode);
        }
        const auto before = node->content.now();
        auto after = before;
        if (kind == Kind::truncate) {
            request.size = n[1] % (before.size() + 3000) % kMostBytes;
            after.resize(*request.size);
            node->content.begin(after);
        }
        const auto done = co_await kernel_->ask([&](fs::Filesystem& fs, const fs::Caller& who) {
            return fs.setattr(who, id, request);
        });
        const bool gone = !done && links == 0 && node->opens == 0;
        if (kind == Kind::chmod) {
            gone ? node->mode.give_up(*request.mode) : node->mode.end(*request.mode);
        } else {
            gone ? node->content.give_up(after) : node->content.end(after);
        }
        if (!gone) expect(errno_of(done), 0, kind == Kind::chmod ? "chmod" : "truncate");
    }

    Task<void> remove(ModelNumbers n) {
        auto at = place(n[0]);
        co_await at.directory.lock.exclusive();
        const Held held(at.directory.lock);
        const auto id = co_await look(at);
        if (id == 0) co_return;
        const Pin pin(*this, id);
        const auto node = at.watched.now();
        co_await node->lock.exclusive();
        const Held held_node(node->lock);
        begin_unname(at, node, nullptr);
        const auto done = co_await kernel_->ask([&](fs::Filesystem& fs, const fs::Caller& who) {
            return fs.unlink(who, at.directory.id, at.name);
        });
        end_unname(at, node, nullptr);
        expect(errno_of(done), 0, "unlink " + at.path);
    }
    static void begin_unname(Place& at, const KnownFileRef& node, const KnownFileRef& next) {
        at.watched.begin(next);
        node->links.begin(node->links.now() - 1);
    }
    static void end_unname(Place& at, const KnownFileRef& node, const KnownFileRef& next) {
        at.watched.end(next);
        node->links.end(node->links.now() - 1);
    }

    Task<void> rename(ModelNumbers n) {
        auto from = place(n[0]);
        auto to = place(n[1]);
        if (from.path == to.path) co_return;
        auto* first = &from.directory;
        auto* second = &to.directory;
        if (second < first) std::swap(first, second);
        co_await first->lock.exclusive();
        const Held held_first(first->lock);
        std::optional<Held> held_second;
        if (second != first) {
            co_await second->lock.exclusive();
            held_second.emplace(second->lock);
        }
        const auto id = co_await look(from);
        if (id == 0) co_return;
        const Pin pin(*this, id);
        const auto over_id = co_await look(to);
        if (!failure_.empty()) co_return;
        const Pin over_pin(*this, over_id);
        const auto node = from.watched.now();
        const auto over = to.watched.now();
        if (over == node) co_return;
        auto* low = node.get();
        auto* high = over.get();
        if (high && high < low) std::swap(low, high);
        co_await low->lock.exclusive();
        const Held held_low(low->lock);
        std::optional<Held> held_high;
        if (high) {
            co_await high->lock.exclusive();
            held_high.emplace(high->lock);
        }
        from.watched.begin(nullptr);
        const auto with_silly_name = over ? over->links.now() + 1 : 0;
        if (over) {
            over->links.begin(with_silly_name);
            begin_unname(to, over, node);
        } else {
            to.watched.begin(node);
        }
        const auto done = co_await kernel_->ask([&](fs::Filesystem& fs, const fs::Caller& who) {
            return fs.rename(
                who, from.directory.id, from.name, to.directory.id, to.name, fs::RenameMode::replace
            );
        });
        from.watched.end(nullptr);
        if (over) {
            over->links.give_up(with_silly_name);
            end_unname(to, over, node);
        } else {
            to.watched.end(node);
        }
        expect(errno_of(done), 0, fmt::format("rename {} to {}", from.path, to.path));
    }

    Task<void> link(ModelNumbers n) {
        auto from = place(n[0]);
        auto to = place(n[1]);
        const auto id = co_await find(from);
        if (id == 0) co_return;
        const Pin pin(*this, id);
        const auto node = nodes_[id];
        co_await to.directory.lock.exclusive();
        const Held held(to.directory.lock);
        if (co_await look(to) != 0 || !failure_.empty()) co_return;
        co_await node->lock.exclusive();
        const Held held_node(node->lock);
        if (node->links.now() == 0) co_return;  // ENOENT, by the kernel
        const auto links = node->links.now() + 1;
        to.watched.begin(node);
        node->links.begin(links);
        const auto made = co_await kernel_->ask([&](fs::Filesystem& fs, const fs::Caller& who) {
            return fs.link(who, id, to.directory.id, to.name);
        });
        to.watched.end(node);
        node->links.end(links);
        expect(errno_of(made), 0, fmt::format("link {} to {}", from.path, to.path));
        if (!made) co_return;
        count(*made);
        if (made->id != id) wrong("link: another inode");
    }

    Task<void> list(ModelNumbers n) {
        auto& directory = *directories_[n[0] % directories_.size()];
        const auto listing = n[1] % 2 ? fs::Listing::plus : fs::Listing::names;
        const std::size_t most = 1 + n[2] % 4;
        const auto deaths = kernel_->deaths();
        std::deque<Window<KnownFileRef>> windows;
        for (auto& name : directory.names) windows.emplace_back(name);
        const auto opening = [&](fs::Filesystem& fs, const fs::Caller& who) {
            return fs.opendir(who, directory.id);
        };
        const auto opened = co_await kernel_->ask(opening, KernelRequests::Opens::directory);
        if (!opened) co_return expect(opened.error().code(), 0, "opendir");
        std::multiset<std::string> got;
        std::uint64_t offset = 0;
        for (;;) {
            std::vector<Item> taken;
            const fs::DirSink sink = [&](const fs::DirItem& item) {
                if (taken.size() == most) return false;
                taken.push_back({std::string(item.name), item.next_offset, item.entry});
                return true;
            };
            const auto done = co_await kernel_->ask([&](fs::Filesystem& fs, const fs::Caller&) {
                taken.clear();
                return fs.readdir(opened->open, offset, listing, sink);
            });
            if (!done) {
                co_await kernel_->living();
                fs().releasedir(opened->open);
                co_return expect(done.error().code(), 0, "readdir");
            }
            if (taken.empty()) break;
            offset = taken.back().next_offset;
            for (const auto& item : taken) {
                if (item.name == "." || item.name == "..") continue;
                count(item.entry);
                got.emplace(item.name);
            }
        }
        co_await kernel_->living();
        fs().releasedir(opened->open);
        for (std::size_t i = 0; i < kNamesEach; ++i) {
            const auto name = fmt::format("n{}", i);
            const auto& window = windows[i];
            const auto times = got.count(name);
            const bool still = window.seen().size() == 1;
            // The place that a dead worker had reached may be forgotten by the server as well.
            const bool again =
                times > 1 && kernel_->deaths() != deaths &&
                random_behaviour(plan_.seed).cookie_verifiers == CookieVerifiers::changing;
            if (still && !again && times != (window.seen().front() ? 1u : 0u)) {
                wrong(
                    fmt::format("{} is listed {} times in {}", name, times, kDirectories[n[0] % 2])
                );
            }
            if (window.all_are(nullptr) && times > 0) wrong(name + " is listed and was not there");
        }
    }

    /// Some inode that nobody uses: the kernel needs the memory.
    Task<void> forget(ModelNumbers n) {
        co_await kernel_->living();
        std::vector<fs::InodeId> idle;
        for (const auto& [id, count] : lookups_) {
            const auto node = nodes_.find(id);
            if (node == nodes_.end() || node->second->opens > 0 || pins_[id] > 0) continue;
            idle.push_back(id);
        }
        if (idle.empty()) co_return;
        const auto id = idle[n[0] % idle.size()];
        fs().forget(id, lookups_[id]);
        lookups_.erase(id);
        nodes_[id]->id = 0;
        nodes_.erase(id);
    }

    // --- open files ------------------------------------------------------------------------------

    Task<void> use_open(TogetherStep step) {
        if (opened_.empty()) co_return;
        const auto which = step.n[0] % opened_.size();
        const auto opened = opened_[which];
        if (step.kind == Kind::close) {
            opened_.erase(opened_.begin() + static_cast<std::ptrdiff_t>(which));
            co_return co_await close(opened);
        }
        const Using in_use(opened);
        const bool is_writable = (opened->flags & O_ACCMODE) == O_RDWR;
        switch (step.kind) {
            case Kind::flush: co_return co_await flush(opened);
            case Kind::read: co_return co_await read(opened, step.n);
            case Kind::stat_open: {
                const int code = co_await compare_stat(opened->node);
                co_return expect(code, 0, "fstat");
            }
            case Kind::sync: co_return co_await sync(opened);
            default: break;
        }
        if (!is_writable) co_return;
        switch (step.kind) {
            case Kind::write_direct: co_return co_await write_direct(opened, step.n);
            case Kind::write: co_return co_await write(opened, step.n, O_RDWR);
            case Kind::append: co_return co_await write(opened, step.n, O_RDWR | O_APPEND);
            default: co_return co_await cut(opened, step.n);
        }
    }
    Task<void> flush(OpenedRef opened) {
        const auto open = opened->file.open;
        const auto done = co_await kernel_->ask([&](fs::Filesystem& fs, const fs::Caller&) {
            return fs.flush(open);
        });
        expect(errno_of(done), 0, "flush");
    }
    Task<void> close(OpenedRef opened) {
        co_await flush(opened);
        while (opened->users > 0) {
            auto wait = opened->unused.wait();
            co_await wait;
        }
        const auto id = opened->file.inode;
        const Pin pin(*this, id);
        --opened->node->opens;
        const auto open = opened->file.open;
        co_await kernel_->ask([&](fs::Filesystem& fs, const fs::Caller&) {
            return release(fs, open);
        });
    }
    static Task<int> release(fs::Filesystem& fs, fs::OpenId open) {
        co_await fs.release(open);
        co_return 0;
    }
    Task<void> read(OpenedRef opened, ModelNumbers n) {
        Window<std::string> contents(opened->node->content);
        const auto offset = n[1] % (opened->node->content.now().size() + 3000);
        const std::size_t length = 1 + n[2] % 30'000;
        const auto open = opened->file.open;
        const auto data = co_await kernel_->ask([&](fs::Filesystem& fs, const fs::Caller&) {
            return fs.read(open, offset, length);
        });
        if (!data) co_return expect(data.error().code(), 0, "read");
        std::string got;
        for (const auto& piece : data->pieces) {
            got.append(reinterpret_cast<const char*>(piece.data()), piece.size());
        }
        compare_read(contents, offset, length, got);
    }
    void compare_read(
        const Window<std::string>& contents,
        std::size_t offset,
        std::size_t length,
        const std::string& got
    ) {
        const auto [least, most] = sizes(contents);
        const auto limit = [&](std::size_t size) {
            return size > offset ? std::min(size - offset, length) : std::size_t{0};
        };
        if (got.size() < limit(least) || got.size() > limit(most)) {
            return wrong(fmt::format(
                "read {}+{} of {} to {} bytes: {} bytes", offset, length, least, most, got.size()
            ));
        }
        for (std::size_t i = 0; i < got.size(); ++i) {
            const auto at = offset + i;
            // What lies between an old end and bytes that are on their way reads as zeros.
            if (got[i] == '\0' && at >= least) continue;
            if (contents.any([&](const std::string& one) {
                    return at < one.size() && one[at] == got[i];
                }))
                continue;
            return wrong(fmt::format("read: the byte at {} was never {}", at, int(got[i])));
        }
    }
    static std::string with(std::string content, std::size_t offset, const std::string& bytes) {
        if (content.size() < offset + bytes.size()) content.resize(offset + bytes.size());
        return content.replace(offset, bytes.size(), bytes);
    }
    Task<void> write(OpenedRef opened, ModelNumbers n, int flags) {
        auto& node = *opened->node;
        const auto bytes = random_bytes(n);
        if (bytes.empty()) co_return;
        co_await node.lock.exclusive();
        const Held held(node.lock);
        const auto size = node.content.now().size();
        if (size > kMostBytes) co_return;
        const auto offset = (flags & O_APPEND) ? size : n[1] % (size + 3000) % kMostBytes;
        const auto after = with(node.content.now(), offset, bytes);
        node.content.begin(after);
        co_await send(opened, offset, bytes, flags);
        node.content.end(after);
    }
    /// O_DIRECT within the file: several at the same time.
    Task<void> write_direct(OpenedRef opened, ModelNumbers n) {
        auto& node = *opened->node;
        auto bytes = random_bytes(n);
        co_await node.lock.shared();
        const Held held(node.lock);
        const auto size = node.content.now().size();
        if (size == 0) co_return;
        const std::size_t offset = n[1] % size;
        bytes.resize(std::min(bytes.size(), size - offset));
        const auto meets = [&](const auto& other) {
            return offset < other.first + other.second && other.first < offset + bytes.size();
        };
        if (bytes.empty() || std::any_of(node.direct.begin(), node.direct.end(), meets)) co_return;
        const std::pair<std::size_t, std::size_t> range{offset, bytes.size()};
        node.direct.push_back(range);
        const auto after = with(node.content.now(), offset, bytes);
        node.content.begin(after);
        co_await send(opened, offset, bytes, O_RDWR | O_DIRECT);
        node.content.end(after, [&](std::string& content) {
            content.replace(offset, bytes.size(), bytes);
        });
        node.direct.erase(std::find(node.direct.begin(), node.direct.end(), range));
    }
    Task<void> send(OpenedRef opened, std::size_t offset, std::string bytes, int flags) {
        const auto open = opened->file.open;
        const auto written = co_await kernel_->ask([&](fs::Filesystem& fs, const fs::Caller& who) {
            const auto origin = fs::WriteOrigin::application;
            return fs.write(open, offset, mount_->payload(bytes), origin, who.progress, flags);
        });
        if (!written) co_return expect(written.error().code(), 0, "write");
        if (*written != bytes.size()) wrong("a short write");
    }
    Task<void> cut(OpenedRef opened, ModelNumbers n) {
        auto& node = *opened->node;
        co_await node.lock.exclusive();
        const Held held(node.lock);
        fs::SetAttrRequest request;
        request.open = opened->file.open;
        request.size = n[1] % (node.content.now().size() + 3000) % kMostBytes;
        auto after = node.content.now();
        after.resize(*request.size);
        node.content.begin(after);
        const auto id = opened->file.inode;
        const auto done = co_await kernel_->ask([&](fs::Filesystem& fs, const fs::Caller& who) {
            return fs.setattr(who, id, request);
        });
        node.content.end(after);
        expect(errno_of(done), 0, "ftruncate");
    }
    Task<void> sync(OpenedRef opened) {
        auto& node = *opened->node;
        co_await node.lock.exclusive();
        const Held held(node.lock);
        const auto open = opened->file.open;
        const auto done = co_await kernel_->ask([&](fs::Filesystem& fs, const fs::Caller&) {
            return fs.fsync(open);
        });
        expect(errno_of(done), 0, "fsync");
        for (std::size_t i = 0; i < kDirectories.size(); ++i) {
            auto& names = directories_[i]->names;
            for (std::size_t j = 0; j < names.size(); ++j) {
                if (names[j].changes() || names[j].now() != opened->node) continue;
                const auto path = fmt::format("{}/n{}", kDirectories[i], j);
                if (server().disk_content(path) != node.content.now()) {
                    wrong(path + " differs on the server's disk after fsync");
                }
            }
        }
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

    World world_;
    const TogetherPlan& plan_;
    std::unique_ptr<Mount> mount_;
    std::optional<KernelRequests> kernel_;
    std::vector<std::unique_ptr<Directory>> directories_;
    std::vector<OpenedRef> opened_;
    std::map<fs::InodeId, KnownFileRef> nodes_;  ///< that the kernel knows
    std::map<fs::InodeId, std::uint64_t> lookups_;
    std::map<fs::InodeId, int> pins_;
    std::size_t at_ = 0;
    std::string doing_;
    std::string failure_;
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
        TogetherStep step{static_cast<Kind>(kinds(random)), {}, {}};
        if (step.kind == Kind::kill && deaths == Deaths::between_rounds) step.kind = Kind::wait;
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
