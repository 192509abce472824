/**
 * What the S3 store makes of the SDK's requests and answers, by their shape only: the SDK itself enters in one file.
 */
import { StratalogError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import type { GetOptions } from './object-store.ts'
import { objectCorrupt, rangeOutside } from './store-errors.ts'

/** A body announced bigger than this is none of ours: no object we write comes near it. */
const BODY_BYTES_MAX = 1024 ** 3

/** A middleware that adds a header before the request is signed. */
export function withHeader(name: string, value: string) {
  return <Arguments extends { readonly request: unknown }, Output>(
    next: (args: Arguments) => Promise<Output>,
  ) =>
    (args: Arguments): Promise<Output> => {
      const request = args.request as { readonly headers: Record<string, string> }
      request.headers[name] = value
      return next(args)
    }
}

/** What the SDK would print on the console. */
export function sdkLogger(
  logger: Logger,
): Record<'trace' | 'debug' | 'info' | 'warn' | 'error', (...words: unknown[]) => void> {
  const say = (...words: unknown[]): void => logger.debug(words.map(String).join(' '))
  return { trace: say, debug: say, info: say, warn: say, error: say }
}

export function isSkewCorrected(error: unknown): boolean {
  const metadata = error instanceof Error && '$metadata' in error ? error.$metadata : null
  return typeof metadata === 'object' && metadata !== null && 'clockSkewCorrected' in metadata
}

/**
 * Base64 as the protocol sends it, to hex. A checksum of checksums (`…-3`, a multipart upload) says
 * nothing of the bytes.
 */
export function hexOfChecksum(checksum: string | undefined): string | null {
  if (checksum === undefined || checksum.includes('-')) return null
  const bytes = Buffer.from(checksum, 'base64')
  return bytes.length === 32 ? bytes.toString('hex') : null
}

/** How long the body of an answer has to be, or why it cannot be right. */
export function bodyLength(
  url: string,
  key: string,
  answer: {
    readonly ContentLength?: number | undefined
    readonly ContentRange?: string | undefined
  },
  range: GetOptions['range'],
): number | StratalogError {
  const length = answer.ContentLength
  if (length === undefined) return objectCorrupt(url, key, 'the store does not say its length')
  if (length > BODY_BYTES_MAX)
    return objectCorrupt(url, key, `its ${length} bytes are more than any object of ours`)
  if (range === undefined) return length
  const wanted = range.end - range.start
  if (answer.ContentRange === undefined && (range.start > 0 || length !== wanted)) {
    return new StratalogError('store_unsupported', `The object store ${url} ignores byte ranges.`, {
      details: { url, key },
    })
  }
  if (length === wanted) return length
  return rangeOutside(url, key, range, range.start + length)
}
