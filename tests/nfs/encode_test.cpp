// SPDX-License-Identifier: Apache-2.0
// What goes out, compared with RFC 1813 written down independently.
#include "nfs/v3/encode.hpp"

#include "wire_fixture.hpp"

namespace uidnfs::test {
namespace {

using namespace nfs;
using namespace nfs::v3;

constexpr std::size_t kRoom = kArgumentRoom + kMaxTargetBytes + 4;

template <class Encode>
ByteVector encoded(Encode encode) {
    ByteVector out(kRoom);
    out.resize(encode(Buffer(out)));
    return out;
}

const FileHandle kDir = handle_of("dir-handle");
const FileHandle kFile = handle_of("file!");

XdrWriter where(std::string_view name) { return XdrWriter().opaque("dir-handle").opaque(name); }

XdrWriter no_attributes() { return XdrWriter().u32(0).u32(0).u32(0).u32(0).u32(0).u32(0); }

TEST(Encoders, HandleAndName) {
    EXPECT_EQ(
        encoded([](Buffer out) { return encode_handle_name(out, kDir, "name"); }),
        where("name").bytes()
    );
}

TEST(Encoders, SetattrWithEverything) {
    SetAttr changes;
    changes.mode = 0640;
    changes.uid = mapper::ServerUid(5);
    changes.gid = mapper::ServerGid(6);
    changes.size = 1ull << 33;
    changes.atime.how = TimeChange::How::server_time;
    changes.mtime = {TimeChange::How::client_time, {1000, 1}};
    EXPECT_EQ(
        encoded([&](Buffer out) {
            return encode_setattr(out, kFile, changes, Time{7, 8});
        }),
        XdrWriter()
            .opaque("file!")
            .u32(1)
            .u32(0640)
            .u32(1)
            .u32(5)
            .u32(1)
            .u32(6)
            .u32(1)
            .u64(1ull << 33)
            .u32(1)
            .u32(2)
            .u32(1000)
            .u32(1)
            .u32(1)
            .u32(7)
            .u32(8)
            .bytes()
    );
}

TEST(Encoders, SetattrWithNothing) {
    EXPECT_EQ(
        encoded([](Buffer out) { return encode_setattr(out, kFile, {}, std::nullopt); }),
        XdrWriter().opaque("file!").append(no_attributes().bytes()).u32(0).bytes()
    );
}

TEST(Encoders, TimesBeyondVersion3AreCutOff) {
    SetAttr changes;
    changes.atime = {TimeChange::How::client_time, {-5, 0}};
    changes.mtime = {TimeChange::How::client_time, {1ll << 40, 0}};
    EXPECT_EQ(
        encoded([&](Buffer out) { return encode_mkdir(out, kDir, "d", changes); }),
        where("d")
            .u32(0)
            .u32(0)
            .u32(0)
            .u32(0)
            .u32(2)
            .u32(0)
            .u32(0)
            .u32(2)
            .u32(0xffff'ffff)
            .u32(0)
            .bytes()
    );
}

TEST(Encoders, CreateInItsThreeWays) {
    SetAttr attributes;
    attributes.mode = 0600;
    Verifier verifier;
    verifier.fill(std::byte{'v'});
    const auto create = [&](CreateHow how) {
        return encoded([&](Buffer out) {
            return encode_create(out, kDir, "f", how, attributes, verifier);
        });
    };
    const auto mode_only = XdrWriter().u32(1).u32(0600).u32(0).u32(0).u32(0).u32(0).u32(0).bytes();
    EXPECT_EQ(create(CreateHow::unchecked), where("f").u32(0).append(mode_only).bytes());
    EXPECT_EQ(create(CreateHow::guarded), where("f").u32(1).append(mode_only).bytes());
    EXPECT_EQ(create(CreateHow::exclusive), where("f").u32(2).fixed("vvvvvvvv").bytes());
}

TEST(Encoders, SymlinkWithTheLongestTarget) {
    const std::string target(kMaxTargetBytes, 't');
    const std::string name(kMaxNameBytes, 'n');
    EXPECT_EQ(
        encoded([&](Buffer out) { return encode_symlink(out, kDir, name, target, {}); }),
        where(name).append(no_attributes().bytes()).opaque(target).bytes()
    );
}

TEST(Encoders, MknodSendsNumbersForDevicesOnly) {
    const auto mknod = [](FileType type) {
        return encoded([&](Buffer out) { return encode_mknod(out, kDir, "x", type, {8, 1}, {}); });
    };
    const auto attributes = no_attributes().bytes();
    EXPECT_EQ(mknod(FileType::fifo), where("x").u32(7).append(attributes).bytes());
    EXPECT_EQ(mknod(FileType::socket), where("x").u32(6).append(attributes).bytes());
    EXPECT_EQ(
        mknod(FileType::block_device), where("x").u32(3).append(attributes).u32(8).u32(1).bytes()
    );
    EXPECT_EQ(
        mknod(FileType::character_device),
        where("x").u32(4).append(attributes).u32(8).u32(1).bytes()
    );
}

TEST(Encoders, WriteEndsWithTheLength) {
    EXPECT_EQ(
        encoded([](Buffer out) { return encode_write(out, kFile, 77, 5, Stability::file_sync); }),
        XdrWriter().opaque("file!").u64(77).u32(5).u32(2).u32(5).bytes()
    );
}

TEST(Encoders, TheRest) {
    EXPECT_EQ(
        encoded([](Buffer out) { return encode_access(out, kFile, 0x3f); }),
        XdrWriter().opaque("file!").u32(0x3f).bytes()
    );
    EXPECT_EQ(
        encoded([](Buffer out) { return encode_range(out, kFile, 1ull << 40, 9); }),
        XdrWriter().opaque("file!").u64(1ull << 40).u32(9).bytes()
    );
    EXPECT_EQ(
        encoded([](Buffer out) { return encode_rename(out, kDir, "a", kFile, "b"); }),
        where("a").opaque("file!").opaque("b").bytes()
    );
    EXPECT_EQ(
        encoded([](Buffer out) { return encode_link(out, kFile, kDir, "b"); }),
        XdrWriter().opaque("file!").opaque("dir-handle").opaque("b").bytes()
    );
    DirCursor from;
    from.cookie = 3;
    from.verifier.fill(std::byte{'c'});
    EXPECT_EQ(
        encoded([&](Buffer out) { return encode_readdir(out, kDir, from, 8192); }),
        XdrWriter().opaque("dir-handle").u64(3).fixed("cccccccc").u32(8192).bytes()
    );
    EXPECT_EQ(
        encoded([&](Buffer out) { return encode_readdirplus(out, kDir, from, 8192); }),
        XdrWriter().opaque("dir-handle").u64(3).fixed("cccccccc").u32(8192).u32(8192).bytes()
    );
}

TEST(Encoders, TheLongestArgumentsFit) {
    const FileHandle handle = handle_of(std::string(64, 'h'));
    const std::string name(255, 'n');
    const auto bytes = encoded([&](Buffer out) {
        return encode_rename(out.first(kArgumentRoom), handle, name, handle, name);
    });
    EXPECT_LE(bytes.size(), kArgumentRoom);
}

}  // namespace
}  // namespace uidnfs::test
