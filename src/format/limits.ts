/**
 * Every limit of the formats: its unit, its reason, and the relations that must hold between them.
 */
import { assert } from '../base/assert.ts'

const KIB = 1024
const MIB = 1024 * KIB

/**
 * A hot batch is sealed at about this many bytes: big enough to amortise per-batch work, small
 * enough to evict by.
 */
export const BATCH_BYTES_TARGET: number = 1 * MIB

/**
 * Rows in one hot batch at most; keeps int32 arithmetic and per-batch statistics meaningful for
 * tiny records.
 */
export const BATCH_ROWS_MAX: number = 65_536

/**
 * A segment is closed at about this many bytes before compression, so that a single PUT carries it.
 */
export const SEGMENT_BYTES_TARGET: number = 64 * MIB

/** One value at most: a bigger one belongs in an object store, with its key in the log. */
export const VALUE_BYTES_MAX: number = 16 * MIB

/**
 * One append at most, encoded: it is one WAL frame, is copied through the ring whole, and is
 * atomic.
 */
export const APPEND_BYTES_MAX: number = 64 * MIB

export const APPEND_ROWS_MAX: number = 1_000_000

/** Columns of one log: every record pays for each, and every footer names each. */
export const COLUMNS_MAX: number = 1_024

/** Columns as they are stored: the user's, and the time that the engine stamps. */
export const STORED_COLUMNS_MAX: number = COLUMNS_MAX + 1

export const COLUMN_NAME_BYTES_MAX: number = 256

/** Keys of one partition's latest view, and their bytes: they are held in RAM, with 32 bytes more for each. */
export const LATEST_KEYS_MAX: number = 10_000_000
export const LATEST_KEY_BYTES_MAX: number = 512 * 1024 ** 2

/** Lists and structs around one another in a type: readers and writers go down by recursion. */
export const NESTING_DEPTH_MAX: number = 8

export const PARTITIONS_MAX: number = 1_024

/** Priorities of records: whole numbers that int16 holds. */
export const PRIORITY_MIN: number = -1_000
export const PRIORITY_MAX: number = 1_000

/** Producers that a partition remembers: what it keeps in RAM and in every base of the manifest. */
export const PRODUCERS_MAX: number = 1_024

/**
 * Of each producer the newest appends, whose retry is answered with where they are: as many may be in flight at once.
 */
export const PRODUCER_APPENDS_MAX: number = 32

/** The id of a producer, as UTF-8: it is in every frame that the producer writes. */
export const PRODUCER_ID_BYTES_MAX: number = 256

/** A producer that appended nothing for this long is forgotten when another one begins. */
export const PRODUCER_EXPIRY_MS: number = 7 * 24 * 60 * 60 * 1_000

/** A producer is not forgotten earlier, however many begin: longer than a client goes on retrying. */
export const PRODUCER_KEPT_MS: number = 15 * 60 * 1_000

/** A stored segment up to this size may share an object with others: two of them fit one. */
export const PACKED_SEGMENT_BYTES_MAX: number = 32 * MIB

/** A flush of up to this many bytes in RAM may share a file on disk: it is not worth a sync of its own. */
export const PACKED_FLUSH_BYTES_MAX: number = 256 * KIB

/**
 * Fewer segments than this get objects, or files, of their own, unless they fill half a pack: each then goes as soon as
 * nothing needs it.
 */
export const PACK_SEGMENTS_MIN: number = 4

/** A pack in the archive: a single PUT carries it. One on disk: all of it stays while one of its segments does. */
export const PACK_BYTES_MAX: number = 64 * MIB
export const DISK_PACK_BYTES_MAX: number = 8 * MIB

/** Segments of one pack: its index is read whole. */
export const PACK_SEGMENTS_MAX: number = 65_536

/** The footer of a segment, parsed whole before anything else of it. */
export const SEGMENT_FOOTER_BYTES_MAX: number = 64 * MIB

/**
 * One block of a segment decoded; the greatest append, and what was gathered before it, fit with
 * room to spare.
 */
export const BLOCK_RAW_BYTES_MAX: number = 256 * MIB

/** Values of one segment dictionary: above, the column is stored plain. Codes then fit int16. */
export const DICTIONARY_ENTRIES_MAX: number = 32_768

/** Bytes of one segment dictionary: a reader of a single block fetches it whole. */
export const DICTIONARY_BYTES_MAX: number = 2 * MIB

/** A manifest commit, read whole. */
export const MANIFEST_BYTES_MAX: number = 256 * MIB

/** A manifest writes a new base after this many commits at least: opening reads as many in a moment. */
export const MANIFEST_COMMITS_PER_BASE: number = 64

/** And at the latest after this many, whatever the base weighs: opening reads every commit behind it. */
export const MANIFEST_COMMITS_PER_BASE_MAX: number = 2_048

/**
 * Segments in one page of a manifest: a page is what a base writes again for one segment that changed, and a million
 * segments are a thousand pages to fetch.
 */
export const MANIFEST_PAGE_ENTRIES_MAX: number = 1_024

/**
 * WAL files grow from the first size to the last by doubling: a small engine opens fast, a busy one rolls seldom, and
 * soon has files of the last size to write again. A frame that is bigger gets a file of its size.
 */
export const WAL_FILE_BYTES_MIN: number = 1 * MIB
export const WAL_FILE_BYTES_MAX: number = 32 * MIB

/**
 * WAL files are zeroed this far ahead of the writer: a write into bytes that exist needs no
 * metadata in its fdatasync.
 */
export const WAL_ZERO_AHEAD_BYTES: number = 1 * MIB

/** Released WAL files that are kept for the next rolls; a recycled file needs no zeroing. */
export const WAL_SPARE_FILES_MAX: number = 4

/**
 * What the WAL keeps before the logs that pin its oldest files are flushed: a recovery reads it all, which takes
 * seconds for so much.
 */
export const WAL_BYTES_MAX: number = 1024 * MIB

/**
 * Shared bytes between appends and the WAL thread: enough for what arrives during one slow fsync. A
 * power of two.
 */
export const WAL_RING_BYTES: number = 16 * MIB

/** A WAL ring at least: one piece of a large frame and some small frames beside it. */
export const WAL_RING_BYTES_MIN: number = 4 * KIB

/** A write or a sync of the WAL that takes longer counts as stuck: nobody should queue behind it without knowing. */
export const WAL_STUCK_AFTER_MS: number = 10_000

/**
 * After a failure of the disk the engine tries again after the first of these, doubling up to the last: soon enough
 * that nobody waits for it, seldom enough that a disk that stays away costs nothing.
 */
export const DISK_RETRY_MIN_MS: number = 100
export const DISK_RETRY_MAX_MS: number = 5_000

/** Bytes that must fit on a disk that was full before appends go on: with fewer it would be full again at once. */
export const DISK_PROBE_BYTES: number = 2 * MIB

/**
 * Copies of damaged files that a directory keeps: enough for what one disk breaks, and never the disk's own end. The
 * first ones stay, as they are nearest to what happened.
 */
export const QUARANTINE_FILES_MAX: number = 64
export const QUARANTINE_BYTES_MAX: number = 512 * MIB

assert(MANIFEST_BYTES_MAX < QUARANTINE_BYTES_MAX, 'a copy of the greatest manifest file has room')
assert(
  SEGMENT_BYTES_TARGET + WAL_FILE_BYTES_MAX < QUARANTINE_BYTES_MAX,
  'a copy of a WAL file or a segment has room',
)
assert(PACKED_SEGMENT_BYTES_MAX * 2 <= PACK_BYTES_MAX, 'a pack holds two segments of any size')
assert(
  PACKED_FLUSH_BYTES_MAX * PACK_SEGMENTS_MIN <= DISK_PACK_BYTES_MAX,
  'as many as make a pack on disk fit one',
)
assert(DISK_RETRY_MIN_MS <= DISK_RETRY_MAX_MS, 'pauses between tries grow')
assert(
  DISK_PROBE_BYTES > WAL_ZERO_AHEAD_BYTES,
  'where a probe fitted, a new WAL file and its zeros ahead fit',
)
assert(VALUE_BYTES_MAX < APPEND_BYTES_MAX, 'a single value of the greatest size fits an append')
assert(BATCH_BYTES_TARGET * 2 < SEGMENT_BYTES_TARGET, 'a segment holds several batches')
assert(APPEND_BYTES_MAX * 2 < 2 ** 31, 'positions inside a batch fit int32')
assert(WAL_FILE_BYTES_MIN <= WAL_FILE_BYTES_MAX, 'WAL files grow')
assert(
  WAL_ZERO_AHEAD_BYTES <= WAL_FILE_BYTES_MIN,
  'a WAL file is not zeroed beyond its capacity at once',
)
assert(WAL_FILE_BYTES_MAX * 4 <= WAL_BYTES_MAX, 'the WAL may keep several files')
assert((WAL_RING_BYTES & (WAL_RING_BYTES - 1)) === 0, 'positions in the WAL ring are masked')
assert(
  WAL_RING_BYTES_MIN <= WAL_RING_BYTES && WAL_RING_BYTES / 8 < 2 ** 31,
  'distances in the WAL ring fit int32 words',
)
assert(PRODUCER_KEPT_MS < PRODUCER_EXPIRY_MS, 'a producer is kept before it expires')
assert(APPEND_ROWS_MAX < 2 ** 24, 'a count of nulls in a WAL payload fits 24 bits')
assert(
  APPEND_BYTES_MAX + BATCH_BYTES_TARGET * 2 < BLOCK_RAW_BYTES_MAX,
  'any append fits a block of a segment',
)
