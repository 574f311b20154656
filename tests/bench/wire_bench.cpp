// SPDX-License-Identifier: Apache-2.0
// N, what the wire and the server cost: nfs::Client without FUSE, each kind of call as the mount
// makes it. One line of JSON for each work.
// wire_bench --host 127.0.0.1 --export /exports/a --uid 1001 --gid 1001 [--count N]
#include "core/log.hpp"
#include "core/reactor.hpp"
#include "nfs/mount.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace uidnfs::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kFileBytes = 64ull << 20;
constexpr std::uint32_t kSmall = 4096;
constexpr std::uint32_t kLarge = 1u << 20;

[[noreturn]] void fail(const std::string& what, const core::Error& error) {
    fmt::print(stderr, "wire_bench: {}: {}\n", what, core::to_string(error));
    std::exit(1);
}

double processor_seconds() {
    timespec now{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

/// Bytes that slices can point into for as long as the program runs.
class FixedMemory final : public core::SharedMemory {
public:
    explicit FixedMemory(std::size_t bytes) : bytes_(bytes, std::byte{'u'}) { retain(); }
    core::Slice slice(std::size_t bytes) { return {*this, bytes_.data(), bytes}; }

private:
    void recycle() noexcept override {}
    std::vector<std::byte> bytes_;
};

class Bench {
public:
    Bench(core::Reactor& reactor, nfs::Client& client, nfs::CallContext context)
        : reactor_(reactor), client_(client), context_(std::move(context)), memory_(kLarge) {}

    void run(unsigned count) {
        const auto name = [](unsigned i) { return fmt::format("wire-{}", i); };
        const auto file = make_file();
        const auto root = client_.root();
        measure("getattr", count, 1, [&](unsigned) { return getattr(root); });
        measure("getattr", count, 16, [&](unsigned) { return getattr(root); });
        measure("read 4 KiB", count, 1, [&](unsigned i) { return read(file, i, kSmall); });
        measure("read 4 KiB", 4 * count, 16, [&](unsigned i) { return read(file, i, kSmall); });
        measure("read 1 MiB", 256, 8, [&](unsigned i) { return read(file, i, kLarge); });
        measure("open", count, 16, [&](unsigned) { return open(file); });
        // Call by call, as a small file is written: each has its share of the server's disk.
        measure("new file", count, 1, [&](unsigned i) {
            return new_file(name(i), Durability::none);
        });
        measure("new file, commit", count, 1, [&](unsigned i) {
            return new_file(name(i) + "-commit", Durability::commit);
        });
        measure("new file, file_sync", count, 1, [&](unsigned i) {
            return new_file(name(i) + "-sync", Durability::file_sync);
        });
        measure("lookup", count, 1, [&](unsigned i) { return lookup(name(i)); });
        measure("lookup", count, 16, [&](unsigned i) { return lookup(name(i)); });
        measure("", 2 * count, 1, [&](unsigned i) {
            return remove(name(i / 2) + (i % 2 ? "-commit" : "-sync"));
        });
        measure("rename", count, 1, [&](unsigned i) { return rename(name(i), name(i) + "-new"); });
        measure("remove", count, 1, [&](unsigned i) { return remove(name(i) + "-new"); });
        measure("mkdir", count, 1, [&](unsigned i) { return mkdir(name(i)); });
        measure("rmdir", count, 1, [&](unsigned i) { return rmdir(name(i)); });
        measure("write 1 MiB", 256, 8, [&](unsigned i) {
            return write(file, i, kLarge, nfs::Stability::unstable);
        });
        const auto sustained = 128 * count;
        measure("write 4 KiB random", sustained, 16, [&](unsigned i) {
            return write_durably(file, i * 577u, kSmall, i + 1 == sustained);
        });
        measure("remove file", 1, 1, [&](unsigned) { return remove("wire-file"); });
    }

private:
    using Call = core::Task<void>;

    nfs::FileHandle make_file() {
        nfs::FileHandle file;
        measure("", 1, 1, [&](unsigned) { return create("wire-file", file); });
        measure("", kFileBytes / kLarge, 1, [&](unsigned i) {
            return write(file, i, kLarge, nfs::Stability::unstable);
        });
        measure("", 1, 1, [&](unsigned) { return commit(file); });
        return file;
    }

    /// `count` calls, so many in flight; no name: nobody wants to know.
    void measure(
        const char* name, unsigned count, unsigned in_flight, std::function<Call(unsigned)> call
    ) {
        latencies_.clear();
        next_ = 0;
        left_ = in_flight;
        const auto begun = Clock::now();
        const auto processor = processor_seconds();
        for (unsigned i = 0; i < in_flight; ++i) core::spawn(lane(count, call));
        reactor_.run_until([this] { return left_ == 0; });
        const auto used = processor_seconds() - processor;
        const auto took = std::chrono::duration<double>(Clock::now() - begun).count();
        if (!*name) return;
        const auto middle = latencies_.begin() + static_cast<std::ptrdiff_t>(count / 2);
        std::nth_element(latencies_.begin(), middle, latencies_.end());
        fmt::print(
            "{{\"work\": \"{}\", \"in_flight\": {}, \"median_us\": {:.2f}, \"us_each\": {:.2f}, "
            "\"cpu_us\": {:.2f}}}\n",
            name,
            in_flight,
            *middle,
            took * 1e6 / count,
            used * 1e6 / count
        );
        std::fflush(stdout);
    }

    Call lane(unsigned count, std::function<Call(unsigned)> call) {
        while (next_ < count) {
            const auto number = next_++;
            const auto begun = Clock::now();
            auto calling = call(number);
            co_await calling;
            latencies_.push_back(
                std::chrono::duration<double, std::micro>(Clock::now() - begun).count()
            );
        }
        --left_;
    }

    Call getattr(nfs::FileHandle object) {
        const auto reply = co_await client_.getattr(context_, object);
        if (!reply) fail("GETATTR", reply.error());
    }
    Call open(nfs::FileHandle object) {
        const auto reply = co_await client_.open(context_, object, nfs::kAccessAll);
        if (!reply) fail("GETATTR and ACCESS", reply.error());
    }
    Call lookup(std::string name) {
        const auto reply = co_await client_.lookup(context_, client_.root(), name);
        if (!reply) fail("LOOKUP", reply.error());
    }
    Call read(nfs::FileHandle file, unsigned number, std::uint32_t bytes) {
        const nfs::OpenRef open{file};
        const auto offset = number * 7u % (kFileBytes / bytes) * bytes;
        const auto reply = co_await client_.read(context_, open, offset, bytes);
        if (!reply) fail("READ", reply.error());
        (void)reply->data.data();  // in memory, as a program wants it
    }
    Call write(
        nfs::FileHandle file, unsigned number, std::uint32_t bytes, nfs::Stability stability
    ) {
        const nfs::OpenRef open{file};
        const std::array<core::Slice, 1> data{memory_.slice(bytes)};
        const auto offset = number % (kFileBytes / bytes) * bytes;
        const auto reply = co_await client_.write(context_, open, offset, data, stability);
        if (!reply) fail("WRITE", reply.error());
    }
    /// The last one of many puts them all on the server's disk.
    Call write_durably(nfs::FileHandle file, unsigned number, std::uint32_t bytes, bool is_last) {
        auto writing = write(file, number, bytes, nfs::Stability::unstable);
        co_await writing;
        if (!is_last) co_return;
        auto committing = commit(file);
        co_await committing;
    }
    Call commit(nfs::FileHandle file) {
        const nfs::OpenRef open{file};
        const auto reply = co_await client_.commit(context_, open, 0, 0);
        if (!reply) fail("COMMIT", reply.error());
    }
    enum class Durability : std::uint8_t { none, commit, file_sync };

    Call new_file(std::string name, Durability durability) {
        nfs::FileHandle file;
        auto creating = create(std::move(name), file);
        co_await creating;
        const auto stability = durability == Durability::file_sync ? nfs::Stability::file_sync
                                                                   : nfs::Stability::unstable;
        auto writing = write(file, 0, kSmall, stability);
        co_await writing;
        if (durability != Durability::commit) co_return;
        auto committing = commit(file);
        co_await committing;
    }
    Call create(std::string name, nfs::FileHandle& made) {
        nfs::SetAttr attributes;
        attributes.mode = 0644;
        const nfs::Verifier verifier{};
        const auto reply = co_await client_.create(
            context_, client_.root(), name, nfs::CreateHow::unchecked, attributes, verifier
        );
        if (!reply) fail("CREATE", reply.error());
        if (!reply->handle) fail("CREATE", core::Error(EPROTO));
        made = *reply->handle;
    }
    Call mkdir(std::string name) {
        nfs::SetAttr attributes;
        attributes.mode = 0755;
        const auto reply = co_await client_.mkdir(context_, client_.root(), name, attributes);
        if (!reply) fail("MKDIR", reply.error());
    }
    Call rename(std::string from, std::string to) {
        const auto& root = client_.root();
        const auto reply = co_await client_.rename(context_, root, from, root, to, std::nullopt);
        if (!reply) fail("RENAME", reply.error());
    }
    Call remove(std::string name) {
        const auto reply = co_await client_.remove(context_, client_.root(), name);
        if (!reply) fail("REMOVE", reply.error());
    }
    Call rmdir(std::string name) {
        const auto reply = co_await client_.rmdir(context_, client_.root(), name);
        if (!reply) fail("RMDIR", reply.error());
    }

    core::Reactor& reactor_;
    nfs::Client& client_;
    const nfs::CallContext context_;
    FixedMemory memory_;
    std::vector<double> latencies_;  ///< microseconds
    unsigned next_ = 0;
    unsigned left_ = 0;
};

/// Runs one task to its end.
template <class T>
T wait_for(core::Reactor& reactor, core::Task<T> task) {
    std::optional<T> result;
    const auto run = [](core::Task<T> inner, std::optional<T>& out) -> core::Task<void> {
        out.emplace(co_await inner);
    };
    core::spawn(run(std::move(task), result));
    reactor.run_until([&] { return result.has_value(); });
    return std::move(*result);
}

core::Task<bool> shut_down(nfs::Client& client, nfs::CallContext context) {
    auto ending = client.shutdown(context);
    co_await ending;
    co_return true;
}

int run(std::map<std::string, std::string> words) {
    const auto number = [&](const char* name) {
        return static_cast<std::uint32_t>(std::strtoul(words[name].c_str(), nullptr, 10));
    };
    core::log::set_level(core::log::Level::error);
    const auto credential = mapper::Credential::make(
        {mapper::ServerUid(number("--uid")), mapper::ServerGid(number("--gid"))}, "wire-bench"
    );
    if (!credential) {
        fmt::print(stderr, "wire_bench: {}\n", credential.error().user_text);
        return 1;
    }
    core::Reactor reactor;
    const nfs::Target target{words["--host"], words["--export"]};
    auto mounted = wait_for(reactor, nfs::mount_export(reactor, target, {}, *credential));
    if (!mounted) {
        fmt::print(stderr, "wire_bench: {}\n", mounted.error().user_text);
        return 1;
    }
    const nfs::CallContext context{*credential};
    Bench(reactor, *mounted->client, context).run(std::max(number("--count"), 16u));
    wait_for(reactor, shut_down(*mounted->client, context));
    return 0;
}

}  // namespace
}  // namespace uidnfs::bench

int main(int argc, char** argv) {
    std::map<std::string, std::string> words{{"--count", "1000"}};
    for (int i = 1; i + 1 < argc; i += 2) words[argv[i]] = argv[i + 1];
    return uidnfs::bench::run(std::move(words));
}
