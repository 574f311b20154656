// SPDX-License-Identifier: Apache-2.0
// Every decoder: a good reply, each truncation of it, and lies. A hostile server gets an error.
#include "nfs/v3/decode.hpp"

#include "nfs/mount3.hpp"
#include "nfs/portmap.hpp"
#include "nfs/rpc/status.hpp"
#include "nfs/v3/status.hpp"
#include "wire_fixture.hpp"

#include <functional>
#include <random>

namespace uidnfs::test {
namespace {

using namespace nfs;
using namespace nfs::v3;

XdrWriter wcc() {
    return XdrWriter().u32(1).u64(10).u32(1).u32(2).u32(3).u32(4).post_op_attr(kDirectory, 10, 5);
}

XdrWriter entry(std::string_view name, std::uint64_t cookie) {
    return XdrWriter().u32(1).u64(77).opaque(name).u64(cookie);
}

XdrWriter entry_plus(std::string_view name, std::uint64_t cookie) {
    return entry(name, cookie).post_op_attr(kRegular, 4, 77).u32(1).opaque("handle-77");
}

XdrWriter listing_head() {
    return XdrWriter().u32(0).post_op_attr(kDirectory, 10, 5).fixed("verifier");
}

/// One reply and the decoder that it is for; `decode` says whether it was taken.
struct Sample {
    std::string name;
    ByteVector good;
    std::function<bool(const core::Slice&)> decode;
};

template <class Decode>
std::function<bool(const core::Slice&)> of_bytes(Decode decode) {
    return [decode](const core::Slice& s) { return decode(s.bytes()).has_value(); };
}

bool is_whole(const core::Result<DirPage>& page) {
    return page && page->more == DirPage::More::end;
}

std::vector<Sample> samples() {
    const DirCursor start;
    return {
        {"GETATTR", XdrWriter().u32(0).attr(kRegular, 4, 5).bytes(), of_bytes(decode_getattr)},
        {"SETATTR", XdrWriter().u32(0).append(wcc().bytes()).bytes(), of_bytes(decode_wcc)},
        {"LOOKUP",
         XdrWriter()
             .u32(0)
             .opaque("handle")
             .post_op_attr(kRegular, 4, 5)
             .post_op_attr(kDirectory, 1, 2)
             .bytes(),
         of_bytes(decode_lookup)},
        {"ACCESS",
         XdrWriter().u32(0).post_op_attr(kRegular, 4, 5).u32(0x1f).bytes(),
         of_bytes(decode_access)},
        {"READLINK",
         XdrWriter().u32(0).post_op_attr(kSymlink, 4, 5).opaque("target/x").bytes(),
         of_bytes(decode_readlink)},
        {"READ",
         XdrWriter().u32(0).post_op_attr(kRegular, 4, 5).u32(5).u32(1).opaque("hello").bytes(),
         [](const core::Slice& s) { return decode_read(s, 5).has_value(); }},
        {"WRITE",
         XdrWriter().u32(0).append(wcc().bytes()).u32(5).u32(2).fixed("verifier").bytes(),
         of_bytes([](Bytes b) { return decode_write(b, 5); })},
        {"COMMIT",
         XdrWriter().u32(0).append(wcc().bytes()).fixed("verifier").bytes(),
         of_bytes(decode_commit)},
        {"CREATE",
         XdrWriter()
             .u32(0)
             .u32(1)
             .opaque("handle")
             .post_op_attr(kRegular, 4, 5)
             .append(wcc().bytes())
             .bytes(),
         of_bytes(decode_create)},
        {"RENAME",
         XdrWriter().u32(0).append(wcc().bytes()).append(wcc().bytes()).bytes(),
         of_bytes(decode_rename)},
        {"LINK",
         XdrWriter().u32(0).post_op_attr(kRegular, 4, 5).append(wcc().bytes()).bytes(),
         of_bytes(decode_link)},
        {"READDIR",
         XdrWriter(listing_head())
             .append(entry("a", 1).bytes())
             .append(entry("bcd", 2).bytes())
             .u32(0)
             .u32(1)
             .bytes(),
         [start](const core::Slice& s) { return is_whole(decode_readdir(s.bytes(), start)); }},
        {"READDIRPLUS",
         XdrWriter(listing_head())
             .append(entry_plus("a", 1).bytes())
             .append(entry_plus("bcd", 2).bytes())
             .u32(0)
             .u32(1)
             .bytes(),
         [start](const core::Slice& s) { return is_whole(decode_readdirplus(s.bytes(), start)); }},
        {"FSSTAT",
         XdrWriter()
             .u32(0)
             .post_op_attr(kDirectory, 4, 5)
             .u64(1)
             .u64(2)
             .u64(3)
             .u64(4)
             .u64(5)
             .u64(6)
             .u32(7)
             .bytes(),
         of_bytes(decode_fsstat)},
        {"FSINFO",
         XdrWriter()
             .u32(0)
             .post_op_attr(kDirectory, 4, 5)
             .u32(1)
             .u32(2)
             .u32(3)
             .u32(4)
             .u32(5)
             .u32(6)
             .u32(7)
             .u64(8)
             .u32(9)
             .u32(10)
             .u32(0x1b)
             .bytes(),
         of_bytes(decode_fsinfo)},
        {"PATHCONF",
         XdrWriter()
             .u32(0)
             .post_op_attr(kDirectory, 4, 5)
             .u32(1)
             .u32(255)
             .u32(1)
             .u32(1)
             .u32(0)
             .u32(1)
             .bytes(),
         of_bytes(decode_pathconf)},
        {"MNT",
         XdrWriter().u32(0).opaque("handle").u32(2).u32(1).u32(390003).bytes(),
         of_bytes(mount3::decode_mount)},
        {"GETPORT", XdrWriter().u32(20048).bytes(), of_bytes(portmap::decode_get_port)},
    };
}

/// Memory of exactly this size, so that a sanitizer sees every byte too much.
bool decodes(const Sample& sample, const ByteVector& bytes) {
    OwnedMemory memory(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    auto exact = std::make_unique<std::byte[]>(bytes.size());
    std::copy(bytes.begin(), bytes.end(), exact.get());
    return sample.decode(core::Slice(memory, exact.get(), bytes.size()));
}

TEST(Decoders, TakeGoodReplies) {
    for (const auto& sample : samples()) EXPECT_TRUE(decodes(sample, sample.good)) << sample.name;
}

TEST(Decoders, RefuseEveryTruncation) {
    for (const auto& sample : samples()) {
        for (std::size_t size = 0; size < sample.good.size(); ++size) {
            const ByteVector cut(
                sample.good.begin(), sample.good.begin() + static_cast<std::ptrdiff_t>(size)
            );
            EXPECT_FALSE(decodes(sample, cut)) << sample.name << " cut at " << size;
        }
    }
}

TEST(Decoders, SurviveEveryWordReplacedByALie) {
    for (const auto& sample : samples()) {
        for (std::size_t at = 0; at + 4 <= sample.good.size(); at += 4) {
            for (const std::uint32_t lie :
                 {0u, 1u, 2u, 0x7fff'ffffu, 0x8000'0000u, 0xffff'fffcu, 0xffff'ffffu}) {
                auto bytes = sample.good;
                const auto word = XdrWriter().u32(lie).bytes();
                std::copy(
                    word.begin(), word.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at)
                );
                (void)decodes(sample, bytes);
            }
        }
    }
}

TEST(Decoders, SurviveRandomMutations) {
    std::mt19937 random(11);
    for (const auto& sample : samples()) {
        for (int round = 0; round < 3000; ++round) {
            auto bytes = sample.good;
            for (int i = 0; i < 1 + static_cast<int>(random() % 4); ++i) {
                bytes[random() % bytes.size()] = static_cast<std::byte>(random());
            }
            bytes.resize(random() % 3 ? bytes.size() : random() % (bytes.size() + 20));
            (void)decodes(sample, bytes);
        }
    }
}

TEST(Decoders, ErrorsOfTheServerAreErrno) {
    const auto error = decode_getattr(XdrWriter().u32(13).bytes()).error();
    EXPECT_EQ(error, core::Error(EACCES, core::ErrorSource::nfs, 13));
    EXPECT_EQ(decode_fsstat(XdrWriter().u32(70).no_attr().bytes()).error().code(), ESTALE);
    EXPECT_EQ(decode_getattr(XdrWriter().u32(12345).bytes()).error(), rpc::protocol_error());
}

TEST(Decoders, AttributesArriveWhole) {
    const auto attr =
        decode_getattr(XdrWriter().u32(0).attr(kRegular, 1ull << 40, 99).bytes()).value();
    EXPECT_EQ(attr.type, FileType::regular);
    EXPECT_EQ(attr.mode, 0644u);
    EXPECT_EQ(attr.uid, mapper::ServerUid(1001));
    EXPECT_EQ(attr.size, 1ull << 40);
    EXPECT_EQ(attr.rdev_major, 7u);
    EXPECT_EQ(attr.rdev_minor, 9u);
    EXPECT_EQ(attr.fsid, 0x1122334455667788u);
    EXPECT_EQ(attr.fileid, 99u);
    EXPECT_EQ(attr.atime, (Time{100, 1}));
    EXPECT_EQ(attr.mtime, (Time{200, 2}));
    EXPECT_EQ(attr.ctime, (Time{300, 3}));
}

TEST(Decoders, FsstatKeepsAttributesAndNumbersApart) {
    const auto reply = decode_fsstat(XdrWriter()
                                         .u32(0)
                                         .post_op_attr(kDirectory, 4, 5)
                                         .u64(1)
                                         .u64(2)
                                         .u64(3)
                                         .u64(4)
                                         .u64(5)
                                         .u64(6)
                                         .u32(7)
                                         .bytes())
                           .value();
    EXPECT_EQ(reply.attr->fileid, 5u);
    EXPECT_EQ(reply.stat.total_bytes, 1u);
    EXPECT_EQ(reply.stat.available_files, 6u);
    EXPECT_EQ(reply.stat.invariant_seconds, 7u);
}

TEST(Decoders, HandlesHaveOneToSixtyFourBytes) {
    const auto lookup = [](std::size_t bytes) {
        return decode_lookup(
                   XdrWriter().u32(0).opaque(std::string(bytes, 'h')).no_attr().no_attr().bytes()
        )
            .has_value();
    };
    EXPECT_FALSE(lookup(0));
    EXPECT_TRUE(lookup(1));
    EXPECT_TRUE(lookup(64));
    EXPECT_FALSE(lookup(65));
}

/// Whether it is believed, of 8 bytes asked for. What a reply refers to does not outlive this.
bool reads(std::uint32_t count, std::string data, std::uint32_t eof) {
    OwnedMemory memory({});
    const auto bytes = XdrWriter().u32(0).no_attr().u32(count).u32(eof).opaque(data).bytes();
    return decode_read(core::Slice(memory, bytes.data(), bytes.size()), 8).has_value();
}

TEST(Decoders, ReadGivesNoMoreThanWasAskedFor) {
    EXPECT_TRUE(reads(8, "12345678", 0));
    EXPECT_TRUE(reads(3, "123", 0)) << "short is allowed";
    EXPECT_FALSE(reads(9, "123456789", 0));
    EXPECT_FALSE(reads(4, "12345678", 0)) << "count and data differ";
    EXPECT_FALSE(reads(8, "1234", 0));
    EXPECT_FALSE(reads(0, "", 0)) << "nothing, and not at the end: no progress";
    EXPECT_TRUE(reads(0, "", 1));
}

TEST(Decoders, WriteTakesNoMoreThanWasSent) {
    const auto reply = [](std::uint32_t count, std::uint32_t committed) {
        const auto bytes =
            XdrWriter().u32(0).empty_wcc().u32(count).u32(committed).fixed("verifier");
        return decode_write(bytes.bytes(), 8).has_value();
    };
    EXPECT_TRUE(reply(8, 0));
    EXPECT_TRUE(reply(1, 2));
    EXPECT_FALSE(reply(9, 0));
    EXPECT_FALSE(reply(0, 0)) << "no progress";
    EXPECT_FALSE(reply(8, 3));
}

core::Result<DirPage> list(const XdrWriter& entries, DirCursor from = {}) {
    return decode_readdir(XdrWriter(listing_head()).append(entries.bytes()).bytes(), from);
}

TEST(Decoders, ListingsArriveWhole) {
    const auto page = decode_readdirplus(
                          XdrWriter(listing_head())
                              .append(entry_plus("a", 1).bytes())
                              .append(entry(".", 1ull << 63).no_attr().u32(0).bytes())
                              .u32(0)
                              .u32(0)
                              .bytes(),
                          {}
    )
                          .value();
    ASSERT_EQ(page.entries.size(), 2u);
    EXPECT_EQ(page.entries[0].name, "a");
    EXPECT_EQ(page.entries[0].handle, handle_of("handle-77"));
    EXPECT_EQ(page.entries[0].attr->fileid, 77u);
    EXPECT_EQ(page.entries[1].cookie, 1ull << 63);
    EXPECT_FALSE(page.entries[1].handle);
    EXPECT_EQ(page.more, DirPage::More::yes);
    EXPECT_EQ(page.dir_attr->fileid, 5u);
}

TEST(Decoders, AnEntryOfATypeThatVersion3DoesNotHaveKeepsItsName) {
    // Solaris lists its doors with type 0.
    for (const std::uint32_t type : {0u, 8u, 0xffff'ffffu}) {
        const auto page = decode_readdirplus(
            XdrWriter(listing_head())
                .append(entry("door", 1).post_op_attr(type, 0, 78).u32(1).opaque("door").bytes())
                .append(entry_plus("a", 2).bytes())
                .u32(0)
                .u32(1)
                .bytes(),
            {}
        );
        ASSERT_TRUE(page) << type;
        ASSERT_EQ(page->entries.size(), 2u);
        EXPECT_EQ(page->entries[0].name, "door");
        EXPECT_FALSE(page->entries[0].attr);
        EXPECT_EQ(page->entries[1].handle, handle_of("handle-77"));
        EXPECT_EQ(page->entries[1].attr->fileid, 77u);
    }
    EXPECT_FALSE(decode_getattr(XdrWriter().u32(0).attr(0, 4, 5).bytes()));
}

TEST(Decoders, NamesAreNoPaths) {
    using namespace std::string_view_literals;
    const auto with_name = [](std::string_view name) {
        return list(XdrWriter(entry(name, 1)).u32(0).u32(1)).has_value();
    };
    EXPECT_TRUE(with_name(std::string(255, 'n')));
    EXPECT_FALSE(with_name(""));
    EXPECT_FALSE(with_name("a/b"));
    EXPECT_FALSE(with_name("a\0b"sv));
}

TEST(Decoders, ANameThatIsTooLongIsToldAsSuch) {
    for (const std::size_t bytes : {256u, 1000u, 70'000u}) {
        const auto page = list(XdrWriter(entry("a", 1))
                                   .append(entry(std::string(bytes, 'n'), 2).bytes())
                                   .append(entry("b", 3).bytes())
                                   .u32(0)
                                   .u32(1));
        ASSERT_FALSE(page) << bytes;
        EXPECT_EQ(page.error(), core::Error(ENAMETOOLONG, core::ErrorSource::protocol)) << bytes;
    }
}

TEST(Decoders, OfAListingThatIsCutOffIsTakenWhatCameWhole) {
    const auto head = listing_head().bytes().size();
    const auto first = head + entry_plus("a", 1).bytes().size();
    const auto second = first + entry_plus("bcd", 2).bytes().size();
    const auto good = XdrWriter(listing_head())
                          .append(entry_plus("a", 1).bytes())
                          .append(entry_plus("bcd", 2).bytes())
                          .u32(0)
                          .u32(1)
                          .bytes();
    for (std::size_t size = 0; size < good.size(); ++size) {
        const auto cut = Bytes(good).first(size);
        const auto page = decode_readdirplus(cut, {});
        ASSERT_EQ(page.has_value(), size >= first) << size;
        if (!page) continue;
        EXPECT_EQ(page->entries.size(), size < second ? 1u : 2u) << size;
        EXPECT_EQ(page->more, DirPage::More::yes) << size;
        DirCursor from;
        from.cookie = page->entries.back().cookie;
        EXPECT_FALSE(decode_readdirplus(cut, from)) << size << ": it would be asked for again";
    }
    // A lie before the cut is a lie.
    EXPECT_FALSE(list(XdrWriter(entry("a", 1)).append(entry("a/b", 2).bytes())));
    EXPECT_FALSE(list(XdrWriter(entry("a", 1)).u32(2)));
}

TEST(Decoders, AListingThatDoesNotGetOnIsAnError) {
    EXPECT_FALSE(list(XdrWriter().u32(0).u32(0))) << "empty and not at the end";
    EXPECT_TRUE(list(XdrWriter().u32(0).u32(1)));
    DirCursor from;
    from.cookie = 5;
    EXPECT_FALSE(list(XdrWriter(entry("a", 5)).u32(0).u32(0), from)) << "the cookie did not move";
    EXPECT_TRUE(list(XdrWriter(entry("a", 6)).u32(0).u32(0), from));
}

TEST(Decoders, ManyEntriesNeedNoStack) {
    XdrWriter entries;
    for (std::uint64_t i = 1; i <= 30000; ++i) entries.append(entry("n", i).bytes());
    EXPECT_EQ(list(entries.u32(0).u32(1)).value().entries.size(), 30000u);
}

TEST(Decoders, TargetsOfSymlinksAreBounded) {
    using namespace std::string_view_literals;
    const auto target = [](std::string_view text) {
        return decode_readlink(XdrWriter().u32(0).no_attr().opaque(text).bytes()).has_value();
    };
    EXPECT_TRUE(target(std::string(4096, 't')));
    EXPECT_FALSE(target(std::string(4097, 't')));
    EXPECT_FALSE(target(""));
    EXPECT_FALSE(target("a\0b"sv));
}

TEST(Decoders, SecurityFlavoursAreCounted) {
    const auto answer =
        mount3::decode_mount(
            XdrWriter().u32(0).opaque("handle").u32(2).u32(390004).u32(390003).bytes()
        )
            .value();
    EXPECT_FALSE(mount3::allows_sys(answer));
    EXPECT_EQ(mount3::describe_flavours(answer.flavours), "krb5i, krb5");
    EXPECT_FALSE(mount3::decode_mount(XdrWriter().u32(0).opaque("h").u32(0x4000'0000).bytes()));
    EXPECT_TRUE(mount3::allows_sys({}));
}

TEST(Decoders, AServerThatLooksAtNoCredentialTakesOursToo) {
    const mount3::Export none{{}, {390003, 0}};
    EXPECT_TRUE(mount3::allows_sys(none));
    EXPECT_TRUE(mount3::ignores_identity(none));
    EXPECT_FALSE(mount3::ignores_identity({{}, {0, 1}}));
    EXPECT_FALSE(mount3::ignores_identity({}));
}

TEST(Decoders, UniversalAddressesEndWithThePort) {
    const auto port = [](std::string_view address) {
        return portmap::decode_get_address(XdrWriter().opaque(address).bytes());
    };
    EXPECT_EQ(port("::.8.1").value(), 2049);
    EXPECT_EQ(port("192.0.2.1.78.32").value(), 20000);
    EXPECT_EQ(port("").value(), 0) << "not registered";
    for (const auto* bad :
         {"::", "::.8", "81", "::.8.256", "::.x.1", "::.8.", "::..1", "::.-1.1"}) {
        EXPECT_FALSE(port(bad)) << bad;
    }
    EXPECT_FALSE(port(std::string(129, '1')));
    const auto whole = XdrWriter().opaque("::.8.1").bytes();
    for (std::size_t size = 0; size < whole.size(); ++size) {
        EXPECT_FALSE(portmap::decode_get_address(std::span(whole).first(size)));
    }
}

TEST(NfsStatus, HasItsErrno) {
    const std::vector<std::pair<std::uint32_t, int>> table{
        {1, EPERM},         {2, ENOENT},     {5, EIO},        {6, ENXIO},       {13, EACCES},
        {17, EEXIST},       {18, EXDEV},     {19, ENODEV},    {20, ENOTDIR},    {21, EISDIR},
        {22, EINVAL},       {27, EFBIG},     {28, ENOSPC},    {30, EROFS},      {31, EMLINK},
        {63, ENAMETOOLONG}, {66, ENOTEMPTY}, {69, EDQUOT},    {70, ESTALE},     {71, EIO},
        {10001, ESTALE},    {10002, EBUSY},  {10003, EINVAL}, {10004, ENOTSUP}, {10005, EIO},
        {10006, EIO},       {10007, EINVAL}, {10008, EAGAIN},
    };
    for (const auto& [status, code] : table) {
        EXPECT_EQ(v3::to_error(status), core::Error(code, core::ErrorSource::nfs, status))
            << status;
    }
    EXPECT_EQ(v3::to_error(3), rpc::protocol_error());
}

}  // namespace
}  // namespace uidnfs::test
