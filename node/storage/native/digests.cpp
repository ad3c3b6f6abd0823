// The Python module node.storage._digests: SHA-256 of equal pieces of a buffer, which is all that a Merkle tree needs.
//
// Python's own loop takes the interpreter's lock twice for every piece of 16 KiB, so that threads that hash wait for
// each other. Here one call does a whole buffer without the lock. The pieces do not depend on each other, and a core
// with SHA extensions does two at a time: a round waits for the one before it, and the second piece fills the gap.
// Elsewhere OpenSSL does them one by one.
#include <pybind11/pybind11.h>

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <stdexcept>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace py = pybind11;

namespace {

constexpr std::size_t DIGEST = 32;
constexpr std::size_t BLOCK = 64;  // what SHA-256 takes at a time (FIPS 180-4)

constexpr std::size_t WORTH_UNLOCKING = 1 << 14;  // less is hashed sooner than the lock is had again

using Bytes = std::uint8_t const*;

class OpenSsl {
public:
    OpenSsl()
        : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free),
          sha256_(EVP_MD_fetch(nullptr, "SHA256", nullptr), EVP_MD_free) {
        if (!context_ || !sha256_) throw std::runtime_error("OpenSSL has no SHA-256");
    }

    void digest(Bytes data, std::size_t size, std::uint8_t* out) {
        if (EVP_DigestInit_ex2(context_.get(), sha256_.get(), nullptr) != 1 ||
            EVP_DigestUpdate(context_.get(), data, size) != 1 || EVP_DigestFinal_ex(context_.get(), out, nullptr) != 1)
            throw std::runtime_error("OpenSSL cannot hash");
    }

private:
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
    std::unique_ptr<EVP_MD, decltype(&EVP_MD_free)> sha256_;
};

#if defined(__x86_64__)

bool has_sha_extensions() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    bool const sse41 = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_1) && (c & bit_SSSE3);
    return sse41 && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}

alignas(16) constexpr std::uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

#define WITH_SHA __attribute__((target("sha,sse4.1,ssse3"), always_inline)) inline

// A piece on its way: the state as the instructions want it (words A B E F and C D G H), and the last 16 words.
struct Lane {
    __m128i abef, cdgh;
    __m128i words[4];

    WITH_SHA void start() {
        abef = _mm_set_epi32(0x6a09e667, int(0xbb67ae85), 0x510e527f, int(0x9b05688c));
        cdgh = _mm_set_epi32(0x3c6ef372, int(0xa54ff53a), 0x1f83d9ab, 0x5be0cd19);
    }

    // Words 4·group to 4·group + 3 of the message schedule, then their four rounds.
    WITH_SHA void rounds(int group, Bytes block) {
        __m128i& word = words[group & 3];
        if (group < 4) {
            __m128i const big_endian = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
            word = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<__m128i const*>(block) + group), big_endian);
        } else {
            __m128i const before = words[(group - 1) & 3];
            __m128i const seven_ago = _mm_alignr_epi8(before, words[(group - 2) & 3], 4);
            word = _mm_add_epi32(_mm_sha256msg1_epu32(word, words[(group - 3) & 3]), seven_ago);
            word = _mm_sha256msg2_epu32(word, before);
        }
        __m128i const sum = _mm_add_epi32(word, _mm_load_si128(reinterpret_cast<__m128i const*>(K) + group));
        cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
        abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
    }

    WITH_SHA void store(std::uint8_t* out) const {
        alignas(16) std::uint32_t f[4], h[4];
        _mm_store_si128(reinterpret_cast<__m128i*>(f), abef);
        _mm_store_si128(reinterpret_cast<__m128i*>(h), cdgh);
        std::uint32_t const state[8] = {f[3], f[2], h[3], h[2], f[1], f[0], h[1], h[0]};
        for (int i = 0; i < 8; ++i) {
            std::uint32_t const word = __builtin_bswap32(state[i]);
            std::memcpy(out + 4 * i, &word, 4);
        }
    }
};

WITH_SHA void both(Lane& left, Lane& right, Bytes a, Bytes b) {
    Lane const before_left = left, before_right = right;
#pragma GCC unroll 16
    for (int group = 0; group < 16; ++group) {
        left.rounds(group, a);
        right.rounds(group, b);
    }
    left.abef = _mm_add_epi32(left.abef, before_left.abef);
    left.cdgh = _mm_add_epi32(left.cdgh, before_left.cdgh);
    right.abef = _mm_add_epi32(right.abef, before_right.abef);
    right.cdgh = _mm_add_epi32(right.cdgh, before_right.cdgh);
}

// SHA-256 of two neighbouring pieces of `size` bytes, a multiple of 64; they end in the same padding.
__attribute__((target("sha,sse4.1,ssse3"))) void digest_two(Bytes data, std::size_t size, std::uint8_t* out) {
    Lane left, right;
    left.start();
    right.start();
    for (std::size_t at = 0; at < size; at += BLOCK) both(left, right, data + at, data + size + at);
    std::array<std::uint8_t, BLOCK> padding{0x80};
    std::uint64_t const bits = __builtin_bswap64(std::uint64_t(size) * 8);
    std::memcpy(padding.data() + BLOCK - 8, &bits, 8);
    both(left, right, padding.data(), padding.data());
    left.store(out);
    right.store(out + DIGEST);
}

#endif

void digest_all(Bytes data, std::size_t length, std::size_t piece, std::uint8_t* out) {
    std::size_t at = 0;
#if defined(__x86_64__)
    static bool const in_pairs = has_sha_extensions();
    if (in_pairs && piece % BLOCK == 0)
        for (; length - at >= 2 * piece; at += 2 * piece, out += 2 * DIGEST) digest_two(data + at, piece, out);
#endif
    if (at == length) return;
    OpenSsl one;
    for (; at < length; at += piece, out += DIGEST) one.digest(data + at, std::min(piece, length - at), out);
}

py::bytes digests(py::buffer const& data, std::size_t piece) {
    if (piece == 0) throw std::invalid_argument("a piece has at least 1 byte");
    py::buffer_info const info = data.request();
    if (info.ndim != 1 || info.itemsize != 1 || info.strides[0] != 1)
        throw std::invalid_argument("the buffer has to be a run of bytes");
    auto const length = static_cast<std::size_t>(info.size);
    auto result = py::reinterpret_steal<py::bytes>(
        PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>((length + piece - 1) / piece * DIGEST)));
    if (!result) throw py::error_already_set();
    auto* const out = reinterpret_cast<std::uint8_t*>(PyBytes_AS_STRING(result.ptr()));
    std::optional<py::gil_scoped_release> unlocked;
    if (length >= WORTH_UNLOCKING) unlocked.emplace();
    digest_all(static_cast<Bytes>(info.ptr), length, piece, out);
    return result;
}

}  // namespace

PYBIND11_MODULE(_digests, m) {
    m.doc() = "SHA-256 of equal pieces";
    m.def("digests", &digests, py::arg("data"), py::arg("piece"),
          "SHA-256 of every `piece` bytes of `data`, the last piece shorter; 32 bytes each, one after the other.");
}
