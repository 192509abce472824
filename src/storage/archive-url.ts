/**
 * Where an archive is: `s3://bucket/prefix`, `file:///path`, `memory://name`. The prefix may be
 * left out.
 */
import { fileURLToPath, pathToFileURL } from 'node:url'
import { StratalogError } from '../base/errors.ts'
import { isObjectKey } from './object-key.ts'

export type ArchiveUrl =
  | { readonly kind: 's3'; readonly url: string; readonly bucket: string; readonly prefix: string }
  | { readonly kind: 'directory'; readonly url: string; readonly path: string }
  | { readonly kind: 'memory'; readonly url: string; readonly name: string }

const BUCKET_PATTERN = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/
const MEMORY_NAME_PATTERN = /^[A-Za-z0-9._-]{1,128}$/

/**
 * The `url` of the result is in one form: equal places have equal URLs. @throws StratalogError
 * `url_invalid`.
 */
export function parseArchiveUrl(text: string): ArchiveUrl {
  const match = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/is.exec(text)
  const scheme = match?.[1]?.toLowerCase()
  const rest = match?.[2] ?? ''
  // Someone may have put a password in it; then it is not repeated in a message.
  const shown = rest.includes('@') ? `${scheme}://…` : text
  if (scheme === 's3') return parseS3(rest, shown)
  if (scheme === 'file') return parseFile(text, shown)
  if (scheme === 'memory' && MEMORY_NAME_PATTERN.test(rest))
    return { kind: 'memory', url: `memory://${rest}`, name: rest }
  throw urlInvalid(
    shown,
    scheme === 'memory'
      ? 'the name needs 1 to 128 letters, digits, ".", "_" or "-"'
      : 'no such scheme',
  )
}

/** As `parseArchiveUrl`; text without a scheme is the path of a directory. @throws StratalogError `url_invalid`. */
export function parseSnapshotLocation(text: string): ArchiveUrl {
  return parseArchiveUrl(text.includes('://') ? text : pathToFileURL(text).href)
}

function parseS3(rest: string, shown: string): ArchiveUrl {
  if (rest.includes('@'))
    throw urlInvalid(
      shown,
      'credentials do not belong in it; use the environment or s3.credentials',
    )
  const slash = rest.indexOf('/')
  const bucket = slash < 0 ? rest : rest.slice(0, slash)
  const prefix = slash < 0 ? '' : rest.slice(slash + 1).replace(/\/+$/, '')
  if (!BUCKET_PATTERN.test(bucket) || bucket.includes('..')) {
    throw urlInvalid(
      shown,
      'the bucket needs 3 to 63 of a-z, 0-9, "." and "-", the first and last a letter or digit',
    )
  }
  if (prefix !== '' && (!isObjectKey(prefix) || prefix.length > PREFIX_LENGTH_MAX)) {
    throw urlInvalid(
      shown,
      `the prefix needs parts of A-Z, a-z, 0-9, ".", "_", "=" and "-" separated by one "/", at most ${PREFIX_LENGTH_MAX} characters`,
    )
  }
  return {
    kind: 's3',
    url: prefix === '' ? `s3://${bucket}` : `s3://${bucket}/${prefix}`,
    bucket,
    prefix,
  }
}

/** With the longest key (object-key.ts) this fits the 1,024 bytes that S3 gives a key. */
const PREFIX_LENGTH_MAX = 255

function parseFile(text: string, shown: string): ArchiveUrl {
  const path = filePath(text)
  if (path === null)
    throw urlInvalid(shown, 'after file:// comes an absolute path, so that there are three slashes')
  const trimmed = path.replace(/\/+$/, '')
  if (trimmed === '') throw urlInvalid(shown, 'the root directory cannot be an archive')
  return { kind: 'directory', url: pathToFileURL(trimmed).href, path: trimmed }
}

function filePath(text: string): string | null {
  try {
    const url = new URL(text)
    return url.search === '' && url.hash === '' ? fileURLToPath(url) : null
  } catch {
    return null
  }
}

function urlInvalid(shown: string, reason: string): StratalogError {
  return new StratalogError(
    'url_invalid',
    `${JSON.stringify(shown)} is not an archive URL: ${reason}. Allowed are s3://bucket/prefix, file:///absolute/path and, in tests, memory://name.`,
    {
      details: {
        given: shown,
        reason,
        allowed: ['s3://bucket/prefix', 'file:///path', 'memory://name'],
      },
    },
  )
}
