// SPDX-License-Identifier: Apache-2.0
// Our transport against libnfs's raw calls: same server, same run, interleaved rounds, medians.
// rpc_bench --host 127.0.0.1 --export /exports/a --uid 1001 --gid 1001 [--port N] [--mountport N]
//           [--rounds N] [--milliseconds N] [--only NAME] [--contender uidnfs|libnfs] [--nconnect
//           N]
#include "rpc_bench.hpp"

#include "core/log.hpp"
#include "core/reactor.hpp"
#include "nfs/mount.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>

namespace uidnfs::bench {
namespace {

struct Arguments {
    nfs::Target target{"127.0.0.1", "/exports/a"};
    nfs::MountParameters parameters;
    std::uint32_t uid = 1001;
    std::uint32_t gid = 1001;
    int rounds = 5;
    std::chrono::milliseconds duration{500};
    std::string only;
    std::string contender;  ///< one alone, for a profiler
};

double cpu_now() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// Memory that slices can point into for as long as the program runs.
class FixedMemory final : public core::SharedMemory {
public:
    explicit FixedMemory(std::size_t bytes) : bytes_(bytes, std::byte{'x'}) { retain(); }
    core::Slice slice(std::size_t bytes) { return {*this, bytes_.data(), bytes}; }

private:
    void recycle() noexcept override {}

    std::vector<std::byte> bytes_;
};

class UidnfsContender final : public Contender {
public:
    UidnfsContender(core::Reactor& reactor, nfs::Client& client, const Place& place)
        : reactor_(reactor), client_(client), place_(place), memory_(1u << 20) {}

    Sample run(const Work& work, std::chrono::milliseconds duration) override {
        started_ = done_ = 0;
        in_flight_ = work.in_flight;
        until_ = std::chrono::steady_clock::now() + duration;
        const Meter meter;
        for (unsigned i = 0; i < work.in_flight; ++i) core::spawn(lane(work));
        reactor_.run_until([this] { return in_flight_ == 0; });
        return meter.stop(done_);
    }

private:
    core::Task<void> lane(const Work& work) {
        const nfs::CallContext context{place_.credential};
        const nfs::OpenRef file{place_.file};
        const nfs::OpenRef scratch{place_.scratch};
        const std::array<core::Slice, 1> data{memory_.slice(work.bytes)};
        while (std::chrono::steady_clock::now() < until_) {
            const auto offset = work.bytes ? offset_of(started_, work.bytes) : 0;
            ++started_;
            switch (work.operation) {
                case Operation::getattr: {
                    auto asking = client_.getattr(context, place_.file);
                    const auto reply = co_await asking;
                    if (!reply) fail(core::to_string(reply.error()));
                    break;
                }
                case Operation::read: {
                    auto asking = client_.read(context, file, offset, work.bytes);
                    const auto reply = co_await asking;
                    if (!reply) fail(core::to_string(reply.error()));
                    (void)reply->data.data();  // in memory, where libnfs has it
                    break;
                }
                case Operation::write: {
                    auto asking =
                        client_.write(context, scratch, offset, data, nfs::Stability::unstable);
                    const auto reply = co_await asking;
                    if (!reply) fail(core::to_string(reply.error()));
                    break;
                }
            }
            ++done_;
        }
        --in_flight_;
    }

    core::Reactor& reactor_;
    nfs::Client& client_;
    Place place_;
    FixedMemory memory_;
    std::uint64_t started_ = 0;
    std::uint64_t done_ = 0;
    unsigned in_flight_ = 0;
    std::chrono::steady_clock::time_point until_;
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

nfs::FileHandle make_file(
    core::Reactor& reactor, nfs::Client& client, const nfs::CallContext& context, std::string name
) {
    nfs::SetAttr attributes;
    attributes.mode = 0644;
    const nfs::Verifier verifier{};
    auto made = wait_for(
        reactor,
        client.create(context, client.root(), name, nfs::CreateHow::unchecked, attributes, verifier)
    );
    if (!made || !made->handle) fail("cannot create a file");
    FixedMemory memory(1u << 20);
    const nfs::OpenRef file{*made->handle};
    const auto step = std::min<std::uint32_t>(client.fs_info().write_max, 1u << 20);
    for (std::uint64_t offset = 0; offset < kFileBytes; offset += step) {
        const std::array<core::Slice, 1> data{memory.slice(step)};
        const auto written =
            wait_for(reactor, client.write(context, file, offset, data, nfs::Stability::unstable));
        if (!written || written->count != step) fail("cannot write a file");
    }
    const auto committed = wait_for(reactor, client.commit(context, file, 0, 0));
    if (!committed) fail("cannot commit a file");
    return *made->handle;
}

Sample median(std::vector<Sample> samples) {
    const auto by = [&](auto key) {
        std::vector<double> values;
        for (const auto& sample : samples) values.push_back(key(sample));
        std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
        return values[values.size() / 2];
    };
    // As a sample of a million operations, so that both medians fit in it.
    Sample out;
    out.operations = 1'000'000;
    out.seconds = 1e6 / by([](const Sample& s) { return s.per_second(); });
    out.cpu_seconds = by([](const Sample& s) { return s.cpu_microseconds(); });
    return out;
}

void print(const Work& work, const Sample& ours, const Sample& theirs) {
    const double mib = work.bytes / 1048576.0;
    const bool is_bulk = mib >= 1;
    fmt::print(
        "{:<22} {:>9.0f} {:>9.0f} {:<6} ratio {:>5.2f}   cpu {:>7.1f} {:>7.1f} us/op ratio "
        "{:>5.2f}\n",
        work.name,
        ours.per_second() * (is_bulk ? mib : 1),
        theirs.per_second() * (is_bulk ? mib : 1),
        is_bulk ? "MiB/s" : "ops/s",
        ours.per_second() / theirs.per_second(),
        ours.cpu_microseconds(),
        theirs.cpu_microseconds(),
        ours.cpu_microseconds() / theirs.cpu_microseconds()
    );
    std::fflush(stdout);
}

int run(const Arguments& arguments) {
    core::log::set_level(core::log::Level::error);
    auto credential = mapper::Credential::make(
        {mapper::ServerUid(arguments.uid), mapper::ServerGid(arguments.gid)}, "rpc-bench"
    );
    if (!credential) fail(credential.error().user_text);

    core::Reactor reactor;
    auto mounted = wait_for(
        reactor, nfs::mount_export(reactor, arguments.target, arguments.parameters, *credential)
    );
    if (!mounted) fail(mounted.error().user_text);
    const nfs::CallContext context{*credential};
    auto& client = *mounted->client;

    Place place;
    place.host = arguments.target.host;
    place.port = arguments.parameters.port;
    place.credential = *credential;
    place.file = make_file(reactor, client, context, "rpc_bench.read");
    place.scratch = make_file(reactor, client, context, "rpc_bench.write");

    UidnfsContender ours(reactor, client, place);
    const auto theirs = make_libnfs_contender(place);
    const std::vector<Work> works{
        {"GETATTR x1", Operation::getattr, 0, 1},
        {"GETATTR x16", Operation::getattr, 0, 16},
        {"READ 4 KiB x1", Operation::read, 4096, 1},
        {"READ 4 KiB x16", Operation::read, 4096, 16},
        {"READ 1 MiB x8", Operation::read, 1u << 20, 8},
        {"WRITE 1 MiB x8", Operation::write, 1u << 20, 8},
    };
    fmt::print("{:<22} {:>9} {:>9}\n", "", "uidnfs", "libnfs");
    for (const auto& work : works) {
        if (!arguments.only.empty() && work.name.find(arguments.only) == std::string::npos)
            continue;
        std::vector<Sample> our_samples;
        std::vector<Sample> their_samples;
        for (int round = 0; round < arguments.rounds; ++round) {
            if (arguments.contender != "libnfs")
                our_samples.push_back(ours.run(work, arguments.duration));
            if (arguments.contender != "uidnfs")
                their_samples.push_back(theirs->run(work, arguments.duration));
        }
        if (our_samples.empty()) our_samples = their_samples;
        if (their_samples.empty()) their_samples = our_samples;
        print(work, median(our_samples), median(their_samples));
    }
    for (const auto* name : {"rpc_bench.read", "rpc_bench.write"}) {
        (void)wait_for(reactor, client.remove(context, client.root(), name));
    }
    auto ended = false;
    const auto end = [](nfs::Client& c, const nfs::CallContext& who, bool& flag
                     ) -> core::Task<void> {
        auto task = c.shutdown(who);
        co_await task;
        flag = true;
    };
    core::spawn(end(client, context, ended));
    reactor.run_until([&] { return ended; });
    return 0;
}

Arguments parse(int argc, char** argv) {
    Arguments arguments;
    std::map<std::string, std::string> values;
    for (int i = 1; i + 1 < argc; i += 2) values[argv[i]] = argv[i + 1];
    for (const auto& [name, value] : values) {
        const auto number = std::strtoul(value.c_str(), nullptr, 10);
        if (name == "--host")
            arguments.target.host = value;
        else if (name == "--export")
            arguments.target.export_path = value;
        else if (name == "--port")
            arguments.parameters.port = static_cast<std::uint16_t>(number);
        else if (name == "--mountport")
            arguments.parameters.mount_port = static_cast<std::uint16_t>(number);
        else if (name == "--nconnect")
            arguments.parameters.nconnect = static_cast<std::uint32_t>(number);
        else if (name == "--uid")
            arguments.uid = static_cast<std::uint32_t>(number);
        else if (name == "--gid")
            arguments.gid = static_cast<std::uint32_t>(number);
        else if (name == "--rounds")
            arguments.rounds = static_cast<int>(number);
        else if (name == "--milliseconds")
            arguments.duration = std::chrono::milliseconds(number);
        else if (name == "--only")
            arguments.only = value;
        else if (name == "--contender")
            arguments.contender = value;
        else
            fail(fmt::format("unknown option {}", name));
    }
    return arguments;
}

}  // namespace

Meter::Meter() : begun_at_(std::chrono::steady_clock::now()), cpu_begun_(cpu_now()) {}

Sample Meter::stop(std::uint64_t operations) const {
    Sample sample;
    sample.cpu_seconds = cpu_now() - cpu_begun_;
    sample.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begun_at_).count();
    sample.operations = std::max<std::uint64_t>(operations, 1);
    return sample;
}

void fail(const std::string& text) {
    fmt::print(stderr, "rpc_bench: {}\n", text);
    std::exit(1);
}

}  // namespace uidnfs::bench

int main(int argc, char** argv) { return uidnfs::bench::run(uidnfs::bench::parse(argc, argv)); }
