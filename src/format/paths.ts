/**
 * Every name on disk and every object key: the one place that builds them, and the one place that parses them.
 * All are relative, '/'-separated, and made of `[A-Za-z0-9._-]`, so the same text is a path on any system and a key in
 * any store. A log's name is never part of one: logs are known by id.
 *
 * Below a data directory:
 *
 *     stratalog.json                                             who made the directory (format/identity.ts)
 *     restoring.json                                             what is being restored here, until it is whole
 *     newest.NNNNNNNNNNNN                                        an empty file; the manifest has come to commit N
 *     lock                                                       held by the process that writes
 *     manifest/NNNNNNNNNNNN.edit                                 commit number N, 12 digits, from 1
 *     manifest/NNNNNNNNNNNN.base                                 the whole state after commit N
 *     pages/<64 hex>.page                                        segments of bases; the SHA-256 of the page's index
 *     wal/LLLLLLLLLLLLLLLLLLLL.wal                               frames from LSN L on, 20 digits
 *     segments/<logId>/<partition>/OOOOOOOOOOOOOOOO-<16 hex>.arrow
 *                                                                base offset, 16 digits, and the start of the SHA-256
 *     packs/<32 hex>.pack                                        small segments of many partitions (format/pack.ts);
 *                                                                the start of the SHA-256 of all of it
 *     tmp/<name>                                                 being written; removed when the engine opens
 *     cache/<name>                                               copies of archive bytes; may vanish at any time
 *     cache-parts/<sha256>-<start>-<end>.<footer|data>           bytes of an archived segment; may vanish at any time
 *     cache-columns/<sha256>-<count>                             columns of an archived segment; may vanish at any time
 *     quarantine/<path, '-' for '/'>-<16 hex>                    a copy of a file found damaged, and the start of the
 *                                                                copy's SHA-256; nobody reads it
 *
 * Below an archive's prefix:
 *
 *     stratalog.json
 *     manifest/NNNNNNNNNNNN.edit
 *     manifest/NNNNNNNNNNNN.base
 *     pages/<64 hex>.page
 *     segments/<logId>/<partition>/OOOOOOOOOOOOOOOO-<32 hex>.arrow
 *                                                                content-derived: equal keys hold equal bytes
 *     packs/<32 hex>.pack
 *
 * Segments in Parquet end in `.parquet`. Fixed widths make byte order the order of numbers.
 */
import { assert } from '../base/assert.ts'
import type { SegmentFormat } from './segment.ts'

export const IDENTITY_FILE = 'stratalog.json'
export const RESTORING_FILE = 'restoring.json'
const NEWEST_FILE = 'newest'
export const LOCK_FILE = 'lock'
/** The lease on the lock file, where there are no kernel locks. */
export const LEASE_DIRECTORY = 'lock.lock'
export const MANIFEST_DIRECTORY = 'manifest'
export const PAGES_DIRECTORY = 'pages'
export const WAL_DIRECTORY = 'wal'
export const SEGMENTS_DIRECTORY = 'segments'
export const PACKS_DIRECTORY = 'packs'
export const TEMPORARY_DIRECTORY = 'tmp'
export const CACHE_DIRECTORY = 'cache'
export const CACHE_PARTS_DIRECTORY = 'cache-parts'
export const CACHE_COLUMNS_DIRECTORY = 'cache-columns'
export const QUARANTINE_DIRECTORY = 'quarantine'

const COMMIT_DIGITS = 12
const LSN_DIGITS = 20
const OFFSET_DIGITS = 16
const DISK_HASH_DIGITS = 16
const ARCHIVE_HASH_DIGITS = 32
const PACK_HASH_DIGITS = 32
const PACK_PATTERN = /^packs\/([0-9a-f]{32})\.pack$/

/** Commit `number`, or the whole state after it. */
export interface NumberedManifestFile {
  readonly kind: 'commit' | 'base'
  readonly number: number
}

/** A manifest file. A page is of every base that names it. */
export type ManifestFileName =
  | NumberedManifestFile
  | { readonly kind: 'page'; readonly sha256: string }

/** What the name of a segment says: enough to find the manifest entry it belongs to. */
export interface SegmentName {
  readonly logId: number
  readonly partition: number
  readonly baseOffset: number
  readonly sha256: string
  readonly format: SegmentFormat
}

/**
 * What a name below a data directory or an archive's prefix stands for. `hash` is the start of the
 * segment's SHA-256.
 */
export type ParsedPath =
  | { readonly kind: 'identity' }
  | { readonly kind: 'restoring' }
  | { readonly kind: 'newest'; readonly number: number }
  | { readonly kind: 'lock' }
  | { readonly kind: 'manifest'; readonly file: ManifestFileName }
  | { readonly kind: 'wal'; readonly startLsn: number }
  | ({ readonly kind: 'segment'; readonly hash: string } & Omit<SegmentName, 'sha256'>)
  | { readonly kind: 'pack'; readonly hash: string }
  | { readonly kind: 'temporary'; readonly name: string }
  | { readonly kind: 'cache'; readonly name: string }
  | { readonly kind: 'cache-part' }
  | { readonly kind: 'quarantine'; readonly name: string }

/** `manifest/000000000064.edit` or `.base`, or a page; the same in a directory and in an archive. */
export function manifestPath(file: ManifestFileName): string {
  if (file.kind === 'page') {
    assert(PAGE_PATTERN.test(`${file.sha256}.page`), 'a page is named by its SHA-256 in hex')
    return `${PAGES_DIRECTORY}/${file.sha256}.page`
  }
  return `${MANIFEST_DIRECTORY}/${digits(file.number, COMMIT_DIGITS)}.${file.kind === 'commit' ? 'edit' : 'base'}`
}

/** The file that says, by its name, that the manifest has come to commit `number`. */
export function newestPath(number: number): string {
  return `${NEWEST_FILE}.${digits(number, COMMIT_DIGITS)}`
}

/** The key after which, in byte order, every manifest file with a number above `number` comes, and none other. */
export function manifestPathAfter(number: number): string {
  return `${MANIFEST_DIRECTORY}/${digits(number, COMMIT_DIGITS)}.z`
}

export function walPath(startLsn: number): string {
  return `${WAL_DIRECTORY}/${walFileName(startLsn)}`
}

/** The name of a WAL file inside its directory. */
export function walFileName(startLsn: number): string {
  return `${digits(startLsn, LSN_DIGITS)}.wal`
}

/** The directory that holds the segments of one partition. */
export function segmentDirectory(logId: number, partition: number): string {
  return `${SEGMENTS_DIRECTORY}/${digits(logId, 1)}/${digits(partition, 1)}`
}

/** The file of a segment below a data directory. */
export function segmentPath(name: SegmentName): string {
  return segmentName(name, DISK_HASH_DIGITS)
}

/** The key of a segment below an archive's prefix. */
export function segmentKey(name: SegmentName): string {
  return segmentName(name, ARCHIVE_HASH_DIGITS)
}

/** A pack, by the SHA-256 of its bytes; the same in a directory and in an archive. */
export function packPath(sha256: string): string {
  const path = `${PACKS_DIRECTORY}/${sha256.slice(0, PACK_HASH_DIGITS)}.pack`
  assert(PACK_PATTERN.test(path), 'a pack is named by its SHA-256 in hex')
  return path
}

export function isPackPath(path: string): boolean {
  return PACK_PATTERN.test(path)
}

export function temporaryPath(name: string): string {
  return joined(TEMPORARY_DIRECTORY, name)
}

export function cachePath(name: string): string {
  return joined(CACHE_DIRECTORY, name)
}

/** The copy of the damaged file `path`; `sha256` is of its bytes, damaged as they are. */
export function quarantinePath(path: string, sha256: string): string {
  const name = `${path.replaceAll('/', '-')}-${sha256.slice(0, DISK_HASH_DIGITS)}`
  return joined(QUARANTINE_DIRECTORY, name)
}

/** What `path` stands for; null when no function of this file makes that name. */
export function parsePath(path: string): ParsedPath | null {
  if (path === IDENTITY_FILE) return { kind: 'identity' }
  if (path === RESTORING_FILE) return { kind: 'restoring' }
  if (path === LOCK_FILE || path === LEASE_DIRECTORY) return { kind: 'lock' }
  const newest = NEWEST_PATTERN.exec(path)?.[1]
  if (newest !== undefined) return { kind: 'newest', number: Number(newest) }
  const slash = path.indexOf('/')
  const rest = path.slice(slash + 1)
  switch (path.slice(0, Math.max(slash, 0))) {
    case MANIFEST_DIRECTORY: {
      const file = parseManifestFileName(rest)
      return file === null ? null : { kind: 'manifest', file }
    }
    case PAGES_DIRECTORY: {
      const sha256 = PAGE_PATTERN.exec(rest)?.[1]
      return sha256 === undefined ? null : { kind: 'manifest', file: { kind: 'page', sha256 } }
    }
    case WAL_DIRECTORY: {
      const startLsn = parseWalFileName(rest)
      return startLsn === null ? null : { kind: 'wal', startLsn }
    }
    case SEGMENTS_DIRECTORY:
      return parseSegment(path)
    case PACKS_DIRECTORY: {
      const hash = PACK_PATTERN.exec(path)?.[1]
      return hash === undefined ? null : { kind: 'pack', hash }
    }
    case TEMPORARY_DIRECTORY:
      return isNamePart(rest) ? { kind: 'temporary', name: rest } : null
    case CACHE_DIRECTORY:
      return isNamePart(rest) ? { kind: 'cache', name: rest } : null
    case CACHE_PARTS_DIRECTORY:
    case CACHE_COLUMNS_DIRECTORY:
      return isNamePart(rest) ? { kind: 'cache-part' } : null
    case QUARANTINE_DIRECTORY:
      return isNamePart(rest) ? { kind: 'quarantine', name: rest } : null
    default:
      return null
  }
}

const NEWEST_PATTERN = /^newest\.(\d{12})$/
const PAGE_PATTERN = /^([0-9a-f]{64})\.page$/

/** A name inside the manifest directory; null when it is none of ours. */
export function parseManifestFileName(name: string): NumberedManifestFile | null {
  const match = /^(\d{12})\.(edit|base)$/.exec(name)
  if (match === null) return null
  return { kind: match[2] === 'edit' ? 'commit' : 'base', number: Number(match[1]) }
}

/** The start LSN in a name inside the WAL directory; null when it is none of ours. */
export function parseWalFileName(name: string): number | null {
  const match = /^(\d{20})\.wal$/.exec(name)
  const startLsn = Number(match?.[1])
  return Number.isSafeInteger(startLsn) ? startLsn : null
}

/** Whether a name read from a manifest may be used below a directory or a prefix: it cannot lead out of it. */
export function isSafePath(path: string): boolean {
  return path.length <= 1024 && path.split('/').every(isNamePart)
}

function isNamePart(part: string): boolean {
  return /^[A-Za-z0-9._=-]+$/.test(part) && part !== '.' && part !== '..'
}

function joined(directory: string, name: string): string {
  assert(isNamePart(name), `'${name}' is one safe name`)
  return `${directory}/${name}`
}

function segmentName(name: SegmentName, hashDigits: number): string {
  const hash = name.sha256.slice(0, hashDigits)
  assert(
    /^[0-9a-f]+$/.test(hash) && hash.length === hashDigits,
    'a segment is named by its SHA-256 in hex',
  )
  const file = `${digits(name.baseOffset, OFFSET_DIGITS)}-${hash}.${name.format}`
  return `${segmentDirectory(name.logId, name.partition)}/${file}`
}

const SEGMENT_PATTERN =
  /^segments\/(0|[1-9]\d{0,15})\/(0|[1-9]\d{0,4})\/(\d{16})-([0-9a-f]{16}|[0-9a-f]{32})\.(arrow|parquet)$/

function parseSegment(path: string): ParsedPath | null {
  const match = SEGMENT_PATTERN.exec(path)
  if (match === null) return null
  const [logId, partition, baseOffset] = [Number(match[1]), Number(match[2]), Number(match[3])]
  if (!Number.isSafeInteger(logId) || !Number.isSafeInteger(baseOffset)) return null
  return {
    kind: 'segment',
    logId,
    partition,
    baseOffset,
    hash: match[4] ?? '',
    format: match[5] === 'parquet' ? 'parquet' : 'arrow',
  }
}

function digits(value: number, width: number): string {
  const text = String(value)
  assert(Number.isSafeInteger(value) && value >= 0, `${text} is a whole number`)
  assert(width === 1 || text.length <= width, `${text} fits ${width} digits`)
  return text.padStart(width, '0')
}
