// SPDX-License-Identifier: Apache-2.0
#include "fs/together_files.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace uidnfs::test {

using core::Task;

namespace {

Task<int> release(fs::Filesystem& fs, fs::OpenId open) {
    co_await fs.release(open);
    co_return 0;
}

std::string with(std::string content, std::size_t offset, const std::string& bytes) {
    if (content.size() < offset + bytes.size()) content.resize(offset + bytes.size());
    return content.replace(offset, bytes.size(), bytes);
}

}  // namespace

Task<void> TogetherFiles::use_open(TogetherStep step) {
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

Task<void> TogetherFiles::flush(OpenedRef opened) {
    const auto open = opened->file.open;
    const auto done = co_await kernel_->ask([&](fs::Filesystem& fs, const fs::Caller&) {
        return fs.flush(open);
    });
    expect(errno_of(done), 0, "flush");
}

Task<void> TogetherFiles::close(OpenedRef opened) {
    co_await flush(opened);
    while (opened->users > 0) {
        auto wait = opened->unused.wait();
        co_await wait;
    }
    const auto id = opened->file.inode;
    const Pin pin(*this, id);
    --opened->node->opens;
    const auto open = opened->file.open;
    co_await kernel_->ask([&](fs::Filesystem& fs, const fs::Caller&) { return release(fs, open); });
}

Task<void> TogetherFiles::read(OpenedRef opened, ModelNumbers n) {
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

void TogetherFiles::compare_read(
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

Task<void> TogetherFiles::write(OpenedRef opened, ModelNumbers n, int flags) {
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

Task<void> TogetherFiles::write_direct(OpenedRef opened, ModelNumbers n) {
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

Task<void> TogetherFiles::send(OpenedRef opened, std::size_t offset, std::string bytes, int flags) {
    const auto open = opened->file.open;
    const auto written = co_await kernel_->ask([&](fs::Filesystem& fs, const fs::Caller& who) {
        const auto origin = fs::WriteOrigin::application;
        return fs.write(open, offset, mount_->payload(bytes), origin, who.progress, flags);
    });
    if (!written) co_return expect(written.error().code(), 0, "write");
    if (*written != bytes.size()) wrong("a short write");
}

Task<void> TogetherFiles::cut(OpenedRef opened, ModelNumbers n) {
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

Task<void> TogetherFiles::sync(OpenedRef opened) {
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

}  // namespace uidnfs::test
