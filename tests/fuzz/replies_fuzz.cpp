// SPDX-License-Identifier: Apache-2.0
// Results of NFSv3, MOUNT and portmap calls from a server that lies. Input: a byte that says whose
// results, then the results.
#include "core/buffer.hpp"
#include "fuzz/fuzz.hpp"
#include "nfs/mount3.hpp"
#include "nfs/portmap.hpp"
#include "nfs/v3/decode.hpp"

#include <span>
#include <string>

namespace {

using namespace uidnfs;
using fuzz::require;

constexpr std::uint32_t kAsked = 4096;

/// Memory of somebody else, so that slices of it can be made.
class Borrowed final : public core::SharedMemory {
public:
    Borrowed() { retain(); }

private:
    void recycle() noexcept override {}
};

void check_names(const core::Result<nfs::DirPage>& page) {
    if (!page) return;
    for (const auto& entry : page->entries) {
        require(entry.name.find('/') == std::string::npos, "no name has a slash");
        require(entry.name.find('\0') == std::string::npos, "no name has a NUL");
        require(!entry.name.empty(), "no name is empty");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace uidnfs::nfs;
    if (size == 0) return 0;
    const auto bytes = std::as_bytes(std::span(data + 1, size - 1));
    const DirCursor start;
    switch (data[0] % 17) {
        case 0: (void)v3::decode_getattr(bytes); break;
        case 1: (void)v3::decode_wcc(bytes); break;
        case 2: (void)v3::decode_lookup(bytes); break;
        case 3: (void)v3::decode_access(bytes); break;
        case 4:
            if (const auto link = v3::decode_readlink(bytes)) {
                require(link->target.find('\0') == std::string::npos, "no target has a NUL");
            }
            break;
        case 5: {
            Borrowed memory;
            if (const auto read = v3::decode_read({memory, bytes.data(), bytes.size()}, kAsked)) {
                require(read->data.size() <= kAsked, "no more than was asked for");
            }
            break;
        }
        case 6:
            if (const auto written = v3::decode_write(bytes, kAsked)) {
                require(written->count <= kAsked, "no more than was sent");
            }
            break;
        case 7: (void)v3::decode_commit(bytes); break;
        case 8: (void)v3::decode_create(bytes); break;
        case 9: (void)v3::decode_rename(bytes); break;
        case 10: (void)v3::decode_link(bytes); break;
        case 11: check_names(v3::decode_readdir(bytes, start)); break;
        case 12: check_names(v3::decode_readdirplus(bytes, start)); break;
        case 13: (void)v3::decode_fsstat(bytes); break;
        case 14: (void)v3::decode_fsinfo(bytes); break;
        case 15: (void)v3::decode_pathconf(bytes); break;
        case 16:
            if (const auto made = mount3::decode_mount(bytes)) {
                (void)mount3::describe_flavours(made->flavours);
            }
            (void)portmap::decode_get_port(bytes);
            (void)portmap::decode_get_address(bytes);
            break;
    }
    return 0;
}
