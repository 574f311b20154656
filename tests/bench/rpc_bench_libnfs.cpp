// SPDX-License-Identifier: Apache-2.0
// The contender: libnfs 4.0.0's raw asynchronous calls, as fast as they go: non-blocking socket,
// TCP_NODELAY, poll(2).
#include "rpc_bench.hpp"

// libnfs.h has what the others need and do not include.
// clang-format off
#include <nfsc/libnfs.h>
#include <nfsc/libnfs-raw.h>
#include <nfsc/libnfs-raw-nfs.h>
// clang-format on

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>

namespace uidnfs::bench {
namespace {

class LibnfsContender final : public Contender {
public:
    explicit LibnfsContender(const Place& place) : place_(place), data_(1u << 20, 'x') {
        rpc_ = rpc_init_context();
        std::vector<std::uint32_t> groups;
        for (const auto group : place.credential->groups()) groups.push_back(group.value());
        rpc_set_auth(
            rpc_,
            libnfs_authunix_create(
                place.credential->machine_name().c_str(),
                place.credential->uid().value(),
                place.credential->gid().value(),
                static_cast<std::uint32_t>(groups.size()),
                groups.data()
            )
        );
        bool is_connected = false;
        const int rc = rpc_connect_port_async(
            rpc_,
            place_.host.c_str(),
            place_.port,
            NFS_PROGRAM,
            NFS_V3,
            [](rpc_context*, int status, void*, void* connected) {
                if (status != RPC_STATUS_SUCCESS) fail("libnfs cannot connect");
                *static_cast<bool*>(connected) = true;
            },
            &is_connected
        );
        if (rc != 0) fail("libnfs cannot connect");
        while (!is_connected) turn();
        const int on = 1;
        ::setsockopt(rpc_get_fd(rpc_), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    ~LibnfsContender() override { rpc_destroy_context(rpc_); }

    Sample run(const Work& work, std::chrono::milliseconds duration) override {
        work_ = &work;
        done_ = started_ = 0;
        in_flight_ = 0;
        until_ = std::chrono::steady_clock::now() + duration;
        const Meter meter;
        for (unsigned i = 0; i < work.in_flight; ++i) start();
        while (in_flight_ > 0) turn();
        return meter.stop(done_);
    }

private:
    void turn() {
        pollfd poller{rpc_get_fd(rpc_), static_cast<short>(rpc_which_events(rpc_)), 0};
        if (::poll(&poller, 1, -1) < 0) fail("poll");
        if (rpc_service(rpc_, poller.revents) < 0) fail("libnfs lost its connection");
    }

    void start() {
        const auto& handle = work_->operation == Operation::write ? place_.scratch : place_.file;
        nfs_fh3 fh{};
        fh.data.data_len = static_cast<u_int>(handle.bytes().size());
        fh.data.data_val = reinterpret_cast<char*>(const_cast<std::byte*>(handle.bytes().data()));
        int rc = -1;
        switch (work_->operation) {
            case Operation::getattr: {
                GETATTR3args args{fh};
                rc = rpc_nfs3_getattr_async(rpc_, &finished<GETATTR3res>, &args, this);
                break;
            }
            case Operation::read: {
                READ3args args{fh, offset_of(started_, work_->bytes), work_->bytes};
                rc = rpc_nfs3_read_async(rpc_, &finished<READ3res>, &args, this);
                break;
            }
            case Operation::write: {
                WRITE3args args{};
                args.file = fh;
                args.offset = offset_of(started_, work_->bytes);
                args.count = work_->bytes;
                args.stable = UNSTABLE;
                args.data.data_len = work_->bytes;
                args.data.data_val = data_.data();
                rc = rpc_nfs3_write_async(rpc_, &finished<WRITE3res>, &args, this);
                break;
            }
        }
        if (rc != 0) fail("libnfs cannot queue a call");
        ++started_;
        ++in_flight_;
    }

    template <class Reply>
    static void finished(rpc_context*, int status, void* data, void* self) {
        if (status != RPC_STATUS_SUCCESS) fail("a call of libnfs failed");
        if (static_cast<Reply*>(data)->status != NFS3_OK) fail("the server refused libnfs's call");
        static_cast<LibnfsContender*>(self)->finish();
    }

    void finish() {
        ++done_;
        --in_flight_;
        if (std::chrono::steady_clock::now() < until_) start();
    }

    Place place_;
    std::vector<char> data_;
    rpc_context* rpc_ = nullptr;
    const Work* work_ = nullptr;
    std::uint64_t started_ = 0;
    std::uint64_t done_ = 0;
    unsigned in_flight_ = 0;
    std::chrono::steady_clock::time_point until_;
};

}  // namespace

std::unique_ptr<Contender> make_libnfs_contender(const Place& place) {
    return std::make_unique<LibnfsContender>(place);
}

}  // namespace uidnfs::bench
