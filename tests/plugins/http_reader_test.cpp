// SPDX-License-Identifier: Apache-2.0
// RequestReader: requests however they are cut, and the limits.
#include "plugins/http/request_reader.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace uidnfs::plugins::http {
namespace {

using Progress = RequestReader::Progress;

const std::string kMount =
    "POST /VolumeDriver.Mount HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n\r\n{\"Name\":\"web\"}";

RequestReader make_reader() { return RequestReader({1024, 8, 64}); }

TEST(RequestReader, a_request_cut_anywhere_is_one_request) {
    for (std::size_t cut = 0; cut <= kMount.size(); ++cut) {
        auto reader = make_reader();
        reader.feed(kMount.substr(0, cut));
        ASSERT_EQ(reader.feed(kMount.substr(cut)), Progress::ready) << cut;
        const auto request = reader.take();
        EXPECT_EQ(request.method, "POST");
        EXPECT_EQ(request.path, "/VolumeDriver.Mount");
        EXPECT_EQ(request.body, "{\"Name\":\"web\"}");
        EXPECT_EQ(request.connection, Connection::keep);
        EXPECT_EQ(reader.progress(), Progress::idle);
    }
}

TEST(RequestReader, progress_tells_how_far_it_is) {
    auto reader = make_reader();
    EXPECT_EQ(reader.progress(), Progress::idle);
    EXPECT_EQ(reader.feed("\r\n"), Progress::idle);
    EXPECT_EQ(reader.feed("POST /x"), Progress::header);
    EXPECT_EQ(reader.feed(" HTTP/1.1\r\nContent-Length: 2\r\n\r\n"), Progress::body);
    EXPECT_EQ(reader.feed("a"), Progress::body);
    EXPECT_EQ(reader.feed("b"), Progress::ready);
}

TEST(RequestReader, requests_behind_each_other) {
    auto reader = make_reader();
    ASSERT_EQ(reader.feed(kMount + kMount + "POST /y"), Progress::ready);
    EXPECT_EQ(reader.take().path, "/VolumeDriver.Mount");
    ASSERT_EQ(reader.progress(), Progress::ready);
    EXPECT_EQ(reader.take().path, "/VolumeDriver.Mount");
    EXPECT_EQ(reader.progress(), Progress::header);
}

TEST(RequestReader, limits_have_their_status) {
    const auto status = [](std::string_view text) {
        auto reader = make_reader();
        return reader.feed(text) == Progress::failed ? reader.status() : 0;
    };
    EXPECT_EQ(status("POST / HTTP/1.1\r\nX: " + std::string(2000, 'a')), 431u);
    EXPECT_EQ(status("POST / HTTP/1.1\r\nX: " + std::string(2000, 'a') + "\r\n\r\n"), 431u);
    std::string many = "POST / HTTP/1.1\r\n";
    for (int i = 0; i < 9; ++i) many += "X: y\r\n";
    EXPECT_EQ(status(many + "\r\n"), 431u);
    EXPECT_EQ(status("POST / HTTP/1.1\r\nContent-Length: 65\r\n\r\n"), 413u);
    EXPECT_EQ(status("POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"), 400u);
    EXPECT_EQ(status("nonsense\r\n\r\n"), 400u);
    EXPECT_EQ(
        status(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n41\r\n" + std::string(65, 'a')
        ),
        413u
    );
}

const std::string kChunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";

TEST(RequestReader, a_chunked_body_cut_anywhere_is_one_body) {
    for (const std::string chunks :
         {"0\r\n\r\n", "0;x=y\r\nT: v\r\n\r\n", "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"}) {
        const auto request = kChunked + chunks;
        for (std::size_t step = 1; step <= request.size(); ++step) {
            auto reader = make_reader();
            for (std::size_t at = 0; at < request.size(); at += step) {
                ASSERT_NE(reader.progress(), Progress::ready) << step << " " << request;
                reader.feed(request.substr(at, step));
            }
            ASSERT_EQ(reader.progress(), Progress::ready) << step << " " << request;
            EXPECT_EQ(reader.take().body, chunks[0] == '0' ? "" : "{}");
        }
    }
}

/// `more` is sent again and again.
void expect_an_end(const std::string& begin, const std::string& more) {
    auto reader = make_reader();
    reader.feed(begin);
    std::size_t sent = 0;
    std::size_t kept = 0;
    while (sent < 1 << 20 && reader.progress() != Progress::failed) {
        reader.feed(more);
        sent += more.size();
        kept = std::max(kept, reader.kept());
    }
    EXPECT_EQ(reader.progress(), Progress::failed) << begin << more;
    EXPECT_EQ(reader.status(), 431u) << begin << more;
    EXPECT_LE(sent, 1024 + 100 + more.size()) << begin << more;
    EXPECT_LE(kept, 1024u + 100) << begin << more;
    EXPECT_EQ(reader.kept(), 0u);
}

TEST(RequestReader, what_has_no_end_ends_at_the_limit) {
    const std::string letters(50, 'x');
    expect_an_end("POST /", letters);
    expect_an_end("POST / HTTP/1.1\r\nX: ", letters);
    expect_an_end("POST / HTTP/1.1\r\n", "X: " + letters + "\r\n");
    expect_an_end(kChunked + "5;a=", letters);
    expect_an_end(kChunked + "5;a=\"", letters);
    expect_an_end(kChunked, std::string(50, '0'));
    expect_an_end(kChunked + "1\r\nx\r\n5;a=", letters);
    expect_an_end(kChunked + "0;a=", letters);
    expect_an_end(kChunked + "0\r\nX: ", letters);
    expect_an_end(kChunked + "0\r\n", "X: " + letters + "\r\n");
}

TEST(RequestReader, chunks_together_say_no_more_than_one_may) {
    auto reader = make_reader();
    reader.feed(kChunked);
    std::size_t chunks = 0;
    while (reader.progress() == Progress::body && chunks < 64) {
        reader.feed("1;a=" + std::string(100, 'x') + "\r\n{\r\n");
        ++chunks;
    }
    EXPECT_EQ(reader.progress(), Progress::failed);
    EXPECT_EQ(reader.status(), 431u);
    EXPECT_EQ(chunks, 12u);
}

TEST(RequestReader, as_many_chunks_as_bytes_are_fine) {
    const std::size_t most = 64;
    std::string chunks = kChunked;
    for (std::size_t i = 0; i < most; ++i) chunks += "0000000000000001\r\nx\r\n";
    auto reader = make_reader();
    ASSERT_EQ(reader.feed(chunks + "0\r\nT: v\r\n\r\n"), Progress::ready);
    EXPECT_EQ(reader.take().body, std::string(most, 'x'));
}

TEST(RequestReader, trailers_count_as_fields) {
    const auto progress = [](int trailers) {
        auto reader = make_reader();
        reader.feed(kChunked);
        std::string fields;
        for (int i = 0; i < trailers; ++i) fields += "X: y\r\n";
        return reader.feed("0\r\n" + fields + "\r\n");
    };
    EXPECT_EQ(progress(7), Progress::ready);
    EXPECT_EQ(progress(8), Progress::failed);
}

/// Status, or 0: it is understood.
unsigned outcome(const std::string& request, std::size_t step) {
    auto reader = make_reader();
    for (std::size_t at = 0; at < request.size(); at += step) {
        if (reader.feed(request.substr(at, step)) == Progress::failed) return reader.status();
    }
    EXPECT_EQ(reader.progress(), Progress::ready) << request.size();
    return 0;
}

TEST(RequestReader, limits_are_the_same_however_it_is_cut) {
    const auto header = [](std::size_t size) {
        const std::string before = "POST / HTTP/1.1\r\nX: ";
        return before + std::string(size - before.size() - 4, 'x') + "\r\n\r\n";
    };
    const auto extension = [](std::size_t size) {
        const std::string before = "1;a=";
        return kChunked + before + std::string(size - before.size() - 2, 'x') +
               "\r\n{\r\n0\r\n\r\n";
    };
    const auto trailer = [](std::size_t size) {
        const std::string before = "0\r\nX: ";
        return kChunked + before + std::string(size - before.size() - 4, 'x') + "\r\n\r\n";
    };
    for (std::size_t step = 1; step < 1400; step += step < 8 ? 1 : 37) {
        EXPECT_EQ(outcome(header(1024), step), 0u) << step;
        EXPECT_EQ(outcome(header(1025), step), 431u) << step;
        EXPECT_EQ(outcome(extension(1044), step), 0u) << step;
        EXPECT_EQ(outcome(extension(1045), step), 431u) << step;
        EXPECT_EQ(outcome(trailer(1044), step), 0u) << step;
        EXPECT_EQ(outcome(trailer(1045), step), 431u) << step;
    }
}

TEST(RequestReader, nothing_is_understood_after_a_failure) {
    auto reader = make_reader();
    reader.feed("nonsense\r\n\r\n");
    EXPECT_EQ(reader.feed(kMount), Progress::failed);
    EXPECT_EQ(reader.kept(), 0u);
}

TEST(RequestReader, continue_is_asked_for_once) {
    auto reader = make_reader();
    reader.feed("POST /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    EXPECT_TRUE(reader.take_expectation());
    EXPECT_FALSE(reader.take_expectation());
    EXPECT_EQ(reader.feed("{}"), Progress::ready);
}

TEST(RequestReader, answers_as_bytes) {
    EXPECT_EQ(
        render({200, "application/json", "{}"}, Connection::keep, "POST"),
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    );
    EXPECT_EQ(
        render({405, "text/plain", "no"}, Connection::close, "HEAD"),
        "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n"
        "Allow: POST\r\nConnection: close\r\n\r\n"
    );
}

TEST(VolumeRequestFuzz, mutated_requests_break_nothing) {
    const std::string create =
        "POST /VolumeDriver.Create HTTP/1.1\r\nContent-Length: 180\r\nExpect: 100-continue\r\n\r\n"
        R"({"Name":"a\u00e4","Opts":{"share":"nfs://nas1:2049/a%20b?ro&password=x","uid":1e3,)"
        R"("gid":"7","type":"nfs","device":":/x","o":"addr=::1,ro,username=j","readonly":true,)"
        R"("version":"3.1","credentials":"../x"}})";
    const std::string chunked =
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\n{}\r\n0\r\nT: v\r\n\r\n";
    const std::vector<std::string> seeds{
        create, chunked, kMount + kMount, create.substr(create.find('{'))};
    std::mt19937 random(5);
    for (int round = 0; round < 6000; ++round) {
        auto input =
            std::string(1, static_cast<char>(random() % 40)) + seeds[random() % seeds.size()];
        for (auto changes = random() % 6; changes > 0; --changes) {
            const auto at = random() % input.size();
            switch (random() % 4) {
                case 0: input[at] = static_cast<char>(random()); break;
                case 1: input.erase(at, random() % 8); break;
                case 2:
                    input.insert(at, input.substr(random() % input.size(), random() % 30));
                    break;
                case 3: input.insert(at, 1, "\0\"\\{}[]:,%/.\r\n"[random() % 14]); break;
            }
            if (input.empty()) input = "x";
        }
        LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
    }
}

}  // namespace
}  // namespace uidnfs::plugins::http
