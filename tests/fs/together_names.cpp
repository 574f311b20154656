// SPDX-License-Identifier: Apache-2.0
#include "fs/together_names.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <set>

namespace uidnfs::test {

using core::Task;

namespace {

constexpr std::size_t kMostOpen = 6;

struct Item {
    std::string name;
    std::uint64_t next_offset;
    fs::Entry entry;
};

/// The object of a name went meanwhile: the kernel looks it up again, once.
bool may_be_gone(const Window<KnownFileRef>& window, const KnownFileRef& node) {
    return !window.all_are(node);
}

void begin_unname(Watched<KnownFileRef>& name, const KnownFileRef& node, const KnownFileRef& next) {
    name.begin(next);
    node->links.begin(node->links.now() - 1);
}

void end_unname(Watched<KnownFileRef>& name, const KnownFileRef& node, const KnownFileRef& next) {
    name.end(next);
    node->links.end(node->links.now() - 1);
}

}  // namespace

void TogetherNames::count(const fs::Entry& entry) {
    if (entry.id != 0) ++lookups_[entry.id];
}

Task<fs::InodeId> TogetherNames::look(Place& at) {
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

Task<fs::InodeId> TogetherNames::find(Place& at) {
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

template <class Operation>
Task<void> TogetherNames::at_path(
    std::uint32_t number, std::string_view what, Operation operation
) {
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

Task<void> TogetherNames::open(ModelNumbers n) {
    if (opened_.size() >= kMostOpen) co_return;
    const int flags = n[1] % 5 == 0 ? O_RDONLY : O_RDWR;
    co_await at_path(n[0], "open", [this, flags](KnownFileRef node, const Names&) {
        return open_node(std::move(node), flags);
    });
}

Task<int> TogetherNames::open_node(KnownFileRef node, int flags) {
    const auto id = node->id;
    const auto opened = co_await kernel_->ask([&](fs::Filesystem& fs, const fs::Caller& who) {
        return fs.open(who, id, flags);
    });
    if (!opened) co_return opened.error().code();
    add_open(node, {id, opened->open, opened->pages, opened->caching}, flags);
    co_return 0;
}

void TogetherNames::add_open(const KnownFileRef& node, File file, int flags) {
    ++node->opens;
    opened_.push_back(std::make_shared<Opened>(reactor(), file, node, flags));
}

Task<void> TogetherNames::create(TogetherStep step) {
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
            const auto made = co_await kernel_->ask([&](fs::Filesystem& fs, const fs::Caller& who) {
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

Task<void> TogetherNames::stat(ModelNumbers n) {
    return at_path(n[0], "stat", [this](KnownFileRef node, const Names& names) {
        return compare_stat(node, &names);
    });
}

Task<int> TogetherNames::compare_stat(KnownFileRef node, const Names* names) {
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
    const bool went = names && may_be_gone(*names, node) && st.st_nlink == node->links.now() + 1;
    if (!went && !links.any([&](std::size_t count) { return count == st.st_nlink; })) {
        wrong(fmt::format("{} links, expected {}", st.st_nlink, fmt::join(links.seen(), " or ")));
    }
    if (!modes.any([&](mode_t mode) { return mode == (st.st_mode & 07777); })) {
        wrong(fmt::format(
            "mode {:o}, expected {:o}", st.st_mode & 07777, fmt::join(modes.seen(), " or ")
        ));
    }
    co_return 0;
}

Task<void> TogetherNames::change(ModelNumbers n, Kind kind) {
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

Task<void> TogetherNames::remove(ModelNumbers n) {
    auto at = place(n[0]);
    co_await at.directory.lock.exclusive();
    const Held held(at.directory.lock);
    const auto id = co_await look(at);
    if (id == 0) co_return;
    const Pin pin(*this, id);
    const auto node = at.watched.now();
    co_await node->lock.exclusive();
    const Held held_node(node->lock);
    begin_unname(at.watched, node, nullptr);
    const auto done = co_await kernel_->ask([&](fs::Filesystem& fs, const fs::Caller& who) {
        return fs.unlink(who, at.directory.id, at.name);
    });
    end_unname(at.watched, node, nullptr);
    expect(errno_of(done), 0, "unlink " + at.path);
}

Task<void> TogetherNames::rename(ModelNumbers n) {
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
        begin_unname(to.watched, over, node);
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
        end_unname(to.watched, over, node);
    } else {
        to.watched.end(node);
    }
    expect(errno_of(done), 0, fmt::format("rename {} to {}", from.path, to.path));
}

Task<void> TogetherNames::link(ModelNumbers n) {
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

Task<void> TogetherNames::list(ModelNumbers n) {
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
            wrong(fmt::format("{} is listed {} times in {}", name, times, kDirectories[n[0] % 2]));
        }
        if (window.all_are(nullptr) && times > 0) wrong(name + " is listed and was not there");
    }
}

Task<void> TogetherNames::forget(ModelNumbers n) {
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

}  // namespace uidnfs::test
