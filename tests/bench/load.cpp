// SPDX-License-Identifier: Apache-2.0
// The application of the benchmark: does one kind of work below a directory and prints how long it
// took, as one line of JSON. It knows nothing of uidnfs: the same program runs over every mount.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <barrier>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kBlock = 1 << 20;
constexpr std::size_t kPage = 4096;

[[noreturn]] void fail(const std::string& what, const std::string& path) {
    std::fprintf(stderr, "load: %s %s: %s\n", what.c_str(), path.c_str(), std::strerror(errno));
    std::exit(1);
}

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

class File {
public:
    File(const std::string& path, int flags) : path_(path), fd_(open(path.c_str(), flags, 0644)) {
        if (fd_ < 0) {
            fail("open", path_);
        }
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File() {
        if (fd_ >= 0) {
            ::close(fd_);
        }
    }

    int fd() const { return fd_; }

    // The errors of writing are told here at the latest.
    void close() {
        if (::close(std::exchange(fd_, -1)) != 0) {
            fail("close", path_);
        }
    }

private:
    std::string path_;
    int fd_;
};

struct Buffer {
    explicit Buffer(std::size_t length)
        : data(static_cast<char*>(std::aligned_alloc(kPage, length))), size(length) {
        std::memset(data, 'u', size);
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { std::free(data); }

    char* data;
    std::size_t size;
};

// What a run of work cost: wall time in seconds, one latency in microseconds for each operation.
struct Sample {
    double seconds = 0;
    std::uint64_t bytes = 0;
    std::vector<double> latencies;
};

double quantile(const std::vector<double>& sorted, double part) {
    return sorted.empty() ? 0 : sorted[static_cast<std::size_t>(part * (sorted.size() - 1))];
}

void print(Sample sample) {
    std::sort(sample.latencies.begin(), sample.latencies.end());
    std::printf(
        "{\"seconds\": %.6f, \"bytes\": %llu, \"operations\": %zu, \"median_us\": %.2f, "
        "\"p99_us\": %.2f}\n",
        sample.seconds,
        static_cast<unsigned long long>(sample.bytes),
        sample.latencies.size(),
        quantile(sample.latencies, 0.5),
        quantile(sample.latencies, 0.99)
    );
}

// Runs `work(thread number)` on that many threads, all released at once. Samples are put together;
// the time is from the release to the end of the last.
Sample in_parallel(std::size_t threads, const std::function<Sample(std::size_t)>& work) {
    std::vector<Sample> samples(threads);
    std::vector<std::thread> running;
    std::barrier gate(static_cast<std::ptrdiff_t>(threads) + 1);
    for (std::size_t number = 0; number < threads; ++number) {
        running.emplace_back([&, number] {
            gate.arrive_and_wait();
            samples[number] = work(number);
        });
    }
    const auto start = Clock::now();
    gate.arrive_and_wait();
    for (auto& thread : running) {
        thread.join();
    }
    Sample all;
    all.seconds = seconds_since(start);
    for (const auto& sample : samples) {
        all.bytes += sample.bytes;
        all.latencies.insert(all.latencies.end(), sample.latencies.begin(), sample.latencies.end());
    }
    return all;
}

// Calls `operation(i)` for i below `count`, one after the other.
Sample one_by_one(std::size_t count, const std::function<void(std::size_t)>& operation) {
    Sample sample;
    sample.latencies.reserve(count);
    const auto start = Clock::now();
    for (std::size_t i = 0; i < count; ++i) {
        const auto begun = Clock::now();
        operation(i);
        sample.latencies.push_back(seconds_since(begun) * 1e6);
    }
    sample.seconds = seconds_since(start);
    return sample;
}

// Sequential write in 1 MiB pieces, then fsync. Each piece begins with its own offset.
Sample write_file(const std::string& path, std::uint64_t bytes) {
    Buffer buffer(kBlock);
    Sample sample;
    const auto start = Clock::now();
    File file(path, O_WRONLY | O_CREAT | O_TRUNC);
    for (std::uint64_t offset = 0; offset < bytes; offset += kBlock) {
        std::memcpy(buffer.data, &offset, sizeof(offset));
        if (write(file.fd(), buffer.data, buffer.size) != static_cast<ssize_t>(buffer.size)) {
            fail("write", path);
        }
    }
    if (fsync(file.fd()) != 0) {
        fail("fsync", path);
    }
    file.close();
    sample.seconds = seconds_since(start);
    sample.bytes = bytes;
    return sample;
}

// Sequential read in 1 MiB pieces of what write_file() wrote; a piece that is not there is an
// error.
Sample read_file(const std::string& path) {
    Buffer buffer(kBlock);
    Sample sample;
    const auto start = Clock::now();
    File file(path, O_RDONLY);
    for (;;) {
        const ssize_t got = read(file.fd(), buffer.data, buffer.size);
        if (got == 0) {
            break;
        }
        if (got < 0) {
            fail("read", path);
        }
        std::uint64_t offset = 0;
        std::memcpy(&offset, buffer.data, sizeof(offset));
        if (sample.bytes % kBlock == 0 && offset != sample.bytes) {
            errno = EBADMSG;
            fail("wrong content in", path);
        }
        sample.bytes += static_cast<std::uint64_t>(got);
    }
    sample.seconds = seconds_since(start);
    return sample;
}

// 4 KiB reads past the page cache at random places. O_DIRECT is set after open, so that a file
// system that passes on the flags of open reads through the cache below it, as an NFS server does.
Sample read_at_random(const std::string& path, std::size_t count, std::size_t seed) {
    File file(path, O_RDONLY);
    struct stat attributes {};
    if (fcntl(file.fd(), F_SETFL, O_DIRECT) != 0 || fstat(file.fd(), &attributes) != 0) {
        fail("O_DIRECT on", path);
    }
    Buffer buffer(kPage);
    std::mt19937_64 random(seed);
    std::uniform_int_distribution<off_t> page(0, attributes.st_size / kPage - 1);
    auto sample = one_by_one(count, [&](std::size_t) {
        if (pread(file.fd(), buffer.data, kPage, page(random) * kPage) != kPage) {
            fail("pread", path);
        }
    });
    sample.bytes = count * kPage;
    return sample;
}

Sample create_files(const std::string& directory, std::size_t count) {
    Buffer buffer(kPage);
    return one_by_one(count, [&](std::size_t i) {
        const auto path = directory + "/f" + std::to_string(i);
        File file(path, O_WRONLY | O_CREAT | O_TRUNC);
        if (write(file.fd(), buffer.data, kPage) != kPage) {
            fail("write", path);
        }
        file.close();
    });
}

// As a program does that reads many small files.
void read_whole(const std::string& path, Buffer& buffer) {
    File file(path, O_RDONLY);
    if (read(file.fd(), buffer.data, kPage) < 0) {
        fail("read", path);
    }
    file.close();
}

Sample read_files(const std::string& directory, std::size_t first, std::size_t count) {
    Buffer buffer(kPage);
    return one_by_one(count, [&](std::size_t i) {
        read_whole(directory + "/f" + std::to_string(first + i), buffer);
    });
}

// 4 KiB writes at random places of a file that is there, then fsync, which counts only where the
// bytes shall really arrive.
enum class Until { accepted, durable };

Sample write_at_random(const std::string& path, std::size_t count, std::size_t seed, Until until) {
    File file(path, O_WRONLY);
    struct stat attributes {};
    if (fstat(file.fd(), &attributes) != 0) {
        fail("stat", path);
    }
    Buffer buffer(kPage);
    std::mt19937_64 random(seed);
    std::uniform_int_distribution<off_t> page(0, attributes.st_size / kPage - 1);
    const auto start = Clock::now();
    auto sample = one_by_one(count, [&](std::size_t) {
        if (pwrite(file.fd(), buffer.data, kPage, page(random) * kPage) != kPage) {
            fail("pwrite", path);
        }
    });
    if (fsync(file.fd()) != 0) {
        fail("fsync", path);
    }
    if (until == Until::durable) {
        sample.seconds = seconds_since(start);
    }
    file.close();
    sample.bytes = count * kPage;
    return sample;
}

Sample make_directories(const std::string& directory, std::size_t count) {
    return one_by_one(count, [&](std::size_t i) {
        const auto path = directory + "/d" + std::to_string(i);
        if (mkdir(path.c_str(), 0755) != 0) {
            fail("mkdir", path);
        }
    });
}

// ls -l: names and attributes of all entries; an operation is an entry.
Sample list_directory(const std::string& path) {
    const auto start = Clock::now();
    DIR* directory = opendir(path.c_str());
    if (!directory) {
        fail("opendir", path);
    }
    Sample sample;
    while (const auto* entry = readdir(directory)) {
        struct stat attributes {};
        if (fstatat(dirfd(directory), entry->d_name, &attributes, AT_SYMLINK_NOFOLLOW) != 0) {
            fail("stat", path + "/" + entry->d_name);
        }
        sample.latencies.push_back(0);
    }
    closedir(directory);
    sample.seconds = seconds_since(start);
    const auto each = sample.seconds * 1e6 / static_cast<double>(sample.latencies.size());
    std::fill(sample.latencies.begin(), sample.latencies.end(), each);
    return sample;
}

void stat_name(const std::string& path) {
    struct stat attributes {};
    if (stat(path.c_str(), &attributes) != 0) {
        fail("stat", path);
    }
}

Sample stat_files(const std::string& directory, std::size_t first, std::size_t count) {
    return one_by_one(count, [&](std::size_t i) {
        stat_name(directory + "/f" + std::to_string(first + i));
    });
}

Sample rename_files(const std::string& directory, std::size_t count) {
    return one_by_one(count, [&](std::size_t i) {
        const auto from = directory + "/f" + std::to_string(i);
        const auto to = directory + "/g" + std::to_string(i);
        if (rename(from.c_str(), to.c_str()) != 0) {
            fail("rename", from);
        }
    });
}

Sample unlink_files(const std::string& directory, std::size_t count) {
    return one_by_one(count, [&](std::size_t i) {
        const auto path = directory + "/g" + std::to_string(i);
        if (unlink(path.c_str()) != 0) {
            fail("unlink", path);
        }
    });
}

// Each of so many threads does the same once at the same moment, to a file of its own.
Sample at_once(
    const std::string& work, const std::string& directory, std::size_t threads, std::size_t first
) {
    const auto path = [&](std::size_t number) {
        return directory + "/f" + std::to_string(first + number);
    };
    std::deque<File> opened;
    Buffer buffer(kPage * threads);
    if (work == "read") {
        for (std::size_t i = 0; i < threads; ++i) opened.emplace_back(path(i), O_RDONLY);
    } else {
        stat_name(directory);
    }
    const auto operation = [&](std::size_t number) {
        if (work == "lookup") return stat_name(path(number));
        if (work == "open") return File(path(number), O_RDONLY).close();
        if (work == "create") return File(path(number), O_WRONLY | O_CREAT | O_TRUNC).close();
        if (work == "unlink") {
            if (unlink(path(number).c_str()) != 0) fail("unlink", path(number));
            return;
        }
        if (work != "read") throw std::invalid_argument(work);
        auto* const place = buffer.data + number * kPage;
        if (pread(opened[number].fd(), place, kPage, 0) != kPage) fail("read", path(number));
    };
    return in_parallel(threads, [&](std::size_t number) {
        return one_by_one(1, [&](std::size_t) { operation(number); });
    });
}

constexpr const char* kUsage =
    "usage: load write FILE BYTES\n"
    "       load read FILE...                  one thread for each file\n"
    "       load random FILE COUNT THREADS     COUNT reads in all\n"
    "       load rewrite FILE COUNT            random 4 KiB writes, fsync not counted\n"
    "       load sustain FILE COUNT THREADS    the same until they are on the disk\n"
    "       load create|mkdir|rename|unlink DIRECTORY COUNT\n"
    "       load stat|openread DIRECTORY COUNT THREADS\n"
    "       load list DIRECTORY\n"
    "       load at-once lookup|open|read|create|unlink DIRECTORY THREADS FIRST\n"
    "                                          one file for each thread, from fFIRST on\n";

Sample run(const std::vector<std::string>& words) {
    const auto& work = words.at(0);
    const auto number = [&](std::size_t i) { return std::stoull(words.at(i)); };
    if (work == "write") {
        return write_file(words.at(1), number(2));
    }
    if (work == "read") {
        return in_parallel(words.size() - 1, [&](std::size_t i) {
            return read_file(words.at(i + 1));
        });
    }
    if (work == "random") {
        const auto threads = number(3);
        return in_parallel(threads, [&](std::size_t i) {
            return read_at_random(words.at(1), number(2) / threads, i + 1);
        });
    }
    if (work == "create") {
        return create_files(words.at(1), number(2));
    }
    if (work == "rewrite") {
        return write_at_random(words.at(1), number(2), 1, Until::accepted);
    }
    if (work == "sustain") {
        const auto threads = number(3);
        return in_parallel(threads, [&](std::size_t i) {
            return write_at_random(words.at(1), number(2) / threads, i + 1, Until::durable);
        });
    }
    if (work == "mkdir") {
        return make_directories(words.at(1), number(2));
    }
    if (work == "list") {
        return list_directory(words.at(1));
    }
    if (work == "stat" || work == "openread") {
        const auto threads = number(3);
        const auto each = number(2) / threads;
        const auto part = work == "stat" ? stat_files : read_files;
        return in_parallel(threads, [&](std::size_t i) {
            return part(words.at(1), i * each, each);
        });
    }
    if (work == "rename") {
        return rename_files(words.at(1), number(2));
    }
    if (work == "unlink") {
        return unlink_files(words.at(1), number(2));
    }
    if (work == "at-once") {
        return at_once(words.at(1), words.at(2), number(3), number(4));
    }
    throw std::invalid_argument(work);
}

}  // namespace

int main(int argc, char** argv) {
    try {
        print(run({argv + 1, argv + argc}));
    } catch (const std::logic_error&) {
        // A missing word, or one that is no number.
        std::fputs(kUsage, stderr);
        return 2;
    }
    return 0;
}
