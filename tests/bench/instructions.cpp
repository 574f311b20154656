// SPDX-License-Identifier: Apache-2.0
// The hot operations, one at a time and so many times, for valgrind to count their instructions
// (scripts/callgrind): instructions OPERATION COUNT. What an operation needs is made before; twice
// the count minus once is the operation alone. The server is in memory and part of the count.
#include "fs/fixture.hpp"
#include "nfs/rpc/record_reader.hpp"
#include "nfs/v3/decode.hpp"
#include "nfs/v3/encode.hpp"
#include "nfs/xdr_writer.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace {

using namespace uidnfs;
using test::XdrWriter;

/// Memory of somebody else, so that slices of it can be made.
class Borrowed final : public core::SharedMemory {
public:
    Borrowed() { retain(); }

private:
    void recycle() noexcept override {}
};

void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "instructions: %s\n", what);
    std::exit(1);
}

/// A mount of a server in memory with a few files.
struct Mounted {
    test::World world;
    test::Mount mount{world, test::default_options(), {}};
    std::string block = std::string(4096, 'x');
    fs::InodeId directory = 0;
    fs::InodeId file = 0;
    test::File open;

    Mounted() {
        world.server.put_directory("/d", 0777);
        for (int i = 0; i < 100; ++i) {
            world.server.put_file("/d/file" + std::to_string(i), std::string(100, 'c'), 0666);
        }
        directory = mount.walk("/d");
        mount.list("/d", fs::Listing::plus);
        file = mount.walk("/d/file0");
        open = mount.open_file("/d/file0");
        for (int i = 0; i < 64; ++i)
            mount.write_at(open, static_cast<std::uint64_t>(i) * 4096, block);
        mount.fsync_file(open);
    }
    ~Mounted() { mount.close_file(open); }
};

using Operation = std::function<void()>;

std::map<std::string, std::function<Operation()>> operations() {
    std::map<std::string, std::function<Operation()>> out;
    const auto mounted = [](auto work) {
        return [work] {
            auto m = std::make_shared<Mounted>();
            return Operation([m, work] { work(*m); });
        };
    };
    out["fs-getattr-known"] = mounted([](Mounted& m) {
        require(m.mount.run(m.mount.fs().getattr(m.mount.caller, m.file)).has_value(), "getattr");
    });
    out["fs-lookup-known"] = mounted([](Mounted& m) {
        require(m.mount.lookup(m.directory, "file7").has_value(), "lookup");
    });
    out["fs-open-close"] = mounted([](Mounted& m) {
        const auto opened = m.mount.run(m.mount.fs().open(m.mount.caller, m.file, O_RDONLY));
        require(opened.has_value(), "open");
        m.mount.run(m.mount.fs().flush(opened->open));
        m.mount.run(m.mount.fs().release(opened->open));
    });
    out["fs-read-4k"] = mounted([](Mounted& m) {
        require(m.mount.run(m.mount.fs().read(m.open.open, 8192, 4096)).has_value(), "read");
    });
    out["fs-write-4k"] = mounted([](Mounted& m) {
        auto data = m.mount.payload(m.block);
        require(
            m.mount
                .run(m.mount.fs().write(
                    m.open.open, 4096, std::move(data), fs::WriteOrigin::application
                ))
                .has_value(),
            "write"
        );
    });
    out["fs-list-100"] = mounted([](Mounted& m) {
        require(m.mount.list("/d", fs::Listing::names).size() == 100, "list");
    });
    out["nfs3-decode-getattr"] = [] {
        const auto reply = XdrWriter().u32(0).attr(1, 4096, 7).bytes();
        return Operation([reply] { require(nfs::v3::decode_getattr(reply).has_value(), "decode"); }
        );
    };
    out["nfs3-decode-read-64k"] = [] {
        auto reply = std::make_shared<test::ByteVector>(
            XdrWriter().u32(0).u32(0).u32(65536).u32(0).opaque(std::string(65536, 'x')).bytes()
        );
        auto memory = std::make_shared<Borrowed>();
        return Operation([reply, memory] {
            require(
                nfs::v3::decode_read({*memory, reply->data(), reply->size()}, 65536).has_value(),
                "decode"
            );
        });
    };
    out["nfs3-decode-readdirplus-100"] = [] {
        XdrWriter reply;
        reply.u32(0).u32(0).u64(0);
        for (std::uint64_t i = 1; i <= 100; ++i) {
            reply.u32(1).u64(i).opaque("name-of-a-file-" + std::to_string(i)).u64(i);
            reply.u32(1).attr(1, 4096, i).u32(1).opaque("handle-of-32-bytes-" + std::to_string(i));
        }
        reply.u32(0).u32(1);
        const auto bytes = reply.bytes();
        return Operation([bytes] {
            require(nfs::v3::decode_readdirplus(bytes, {}).has_value(), "decode");
        });
    };
    out["nfs3-encode-lookup"] = [] {
        const std::string bytes(32, 'h');
        const nfs::FileHandle handle(std::as_bytes(std::span(bytes)));
        auto buffer = std::make_shared<std::array<std::byte, 1024>>();
        return Operation([handle, buffer] {
            require(nfs::v3::encode_handle_name(*buffer, handle, "name-of-a-file") > 0, "encode");
        });
    };
    out["rpc-records-100"] = [] {
        auto stream = std::make_shared<std::string>();
        for (int i = 0; i < 100; ++i)
            *stream += std::string("\x80\x00\x00\x70", 4) + std::string(112, 'r');
        auto blocks = std::make_shared<nfs::rpc::ReceiveBlocks>();
        auto reader = std::make_shared<nfs::rpc::RecordReader>(*blocks);
        return Operation([stream, blocks, reader] {
            std::size_t at = 0;
            int records = 0;
            while (at < stream->size()) {
                const auto space = reader->space(nfs::rpc::RecordReader::Expect::small);
                const auto bytes = std::min(space[0].iov_len, stream->size() - at);
                std::memcpy(space[0].iov_base, stream->data() + at, bytes);
                at += bytes;
                reader->received(bytes);
                while (reader->next()) ++records;
            }
            require(records == 100, "records");
        });
    };
    return out;
}

}  // namespace

int main(int argc, char** argv) {
    const auto known = operations();
    if (argc == 1) {
        for (const auto& [name, make] : known) std::printf("%s\n", name.c_str());
        return 0;
    }
    const auto found = known.find(argv[1]);
    require(argc == 3 && found != known.end(), "usage: instructions [OPERATION COUNT]");
    const auto operation = found->second();
    for (int left = std::atoi(argv[2]); left > 0; --left) operation();
    return 0;
}
