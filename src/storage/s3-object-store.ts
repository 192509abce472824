/**
 * The object-store port over S3 and what speaks its protocol. The only file that imports the AWS
 * SDK; `open-object-store.ts` loads it when an `s3://` URL is opened, so that others do not pay for
 * it.
 *
 * What the SDK does by default and why it is not left to it:
 * - it tries three times within seconds: here one try is one request, and retries belong to
 *   retrying-object-store.ts;
 * - its request time-out only warns, and nothing ends a dripping body: every request has a deadline
 *   and every body a watchdog;
 * - it returns a body without comparing it with anything: length and, where the store says it,
 *   SHA-256 are verified here;
 * - its own checksums (CRC32 in a trailer) break stores that are not AWS: an explicit SHA-256
 *   header goes with every put, which the store checks on arrival, keeps, and says again on `head`.
 */
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
  type ListObjectsV2CommandOutput,
} from '@aws-sdk/client-s3'
import type { Clock } from '../base/clock.ts'
import { StratalogError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import type { Random } from '../base/random.ts'
import { readBody, type Body } from './body-reader.ts'
import { sha256Hex } from './checksum.ts'
import { withDeadline } from './deadline.ts'
import { checkObjectKey, isObjectKey } from './object-key.ts'
import type {
  GetOptions,
  ListedObject,
  ListOptions,
  ObjectHead,
  ObjectStore,
  PutAnswer,
  PutOptions,
  SignalOption,
  UnfinishedPut,
} from './object-store.ts'
import { probeConditionalPut } from './probe.ts'
import {
  bodyLength,
  hexOfChecksum,
  isSkewCorrected,
  sdkLogger,
  withHeader,
} from './s3-client-parts.ts'
import { S3_LIMITS, type S3Limits } from './s3-limits.ts'
import { httpStatusOf, s3Error, type S3ErrorContext } from './s3-errors.ts'
import { type PartRequests, putInParts } from './s3-multipart.ts'
import type { S3Connection } from './s3-settings.ts'
import {
  objectCorrupt,
  objectExists,
  objectNotFound,
  rangeOutside,
  storeUnavailable,
} from './store-errors.ts'

export interface S3ObjectStoreOptions {
  readonly url: string
  readonly bucket: string
  /** Without slashes at its ends; empty for the whole bucket. */
  readonly prefix: string
  readonly connection: S3Connection
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly limits?: Partial<S3Limits>
}

/** User metadata key; the store sends it back as `x-amz-meta-stratalog-put-id`. */
const PUT_ID_METADATA = 'stratalog-put-id'

/** What one listing request may return, by the protocol. */
const LIST_PAGE_KEYS = 1_000

export class S3ObjectStore implements ObjectStore {
  readonly url: string
  readonly #bucket: string
  readonly #prefix: string
  readonly #connection: S3Connection
  readonly #clock: Clock
  readonly #random: Random
  readonly #limits: S3Limits
  readonly #client: S3Client
  readonly #closing = new AbortController()
  /** Puts in parts that are under way. */
  readonly #uploads = new Set<Promise<void>>()

  constructor(options: S3ObjectStoreOptions) {
    this.url = options.url
    this.#bucket = options.bucket
    this.#prefix = options.prefix === '' ? '' : `${options.prefix}/`
    this.#connection = options.connection
    this.#clock = options.clock
    this.#random = options.random
    this.#limits = { ...S3_LIMITS, ...options.limits }
    this.#client = createClient(options.connection, this.#limits, options.logger)
  }

  async put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<PutAnswer> {
    checkObjectKey(key)
    if (bytes.length > this.#limits.putBytesMax) {
      await this.#putInParts(key, bytes, options)
      return { sha256: null }
    }
    const sha256 = options.sha256 ?? (await sha256Hex(bytes))
    const output = await this.#send(key, options.signal, this.#uploadMs(bytes), (abortSignal) => {
      const command = new PutObjectCommand({
        ...this.#named(key),
        Body: bytes,
        ContentLength: bytes.length,
        ChecksumSHA256: base64OfHex(sha256),
        ...(options.ifAbsent === true ? { IfNoneMatch: '*' } : {}),
        ...metadataOf(options),
      })
      // The signature covers the same hash; given here, the SDK does not compute it again on this
      // thread.
      command.middlewareStack.add(withHeader('x-amz-content-sha256', sha256), { step: 'build' })
      return this.#client.send(command, { abortSignal })
    })
    return { sha256: hexOfChecksum(output.ChecksumSHA256) }
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    checkObjectKey(key)
    const { range, signal } = options
    if (range !== undefined && range.start === range.end)
      return this.#getNothing(key, range, signal)
    const output = await this.#send(key, signal, this.#limits.responseMs, (abortSignal) => {
      const command = new GetObjectCommand({
        ...this.#named(key),
        ...(range === undefined ? {} : { Range: `bytes=${range.start}-${range.end - 1}` }),
      })
      // As input `ChecksumMode` would make the SDK hash the body too; as a header only the store
      // sees it.
      if (range === undefined) {
        command.middlewareStack.add(withHeader('x-amz-checksum-mode', 'ENABLED'), { step: 'build' })
      }
      return this.#client.send(command, { abortSignal })
    })
    const body = output.Body as Body | undefined
    if (body === undefined) throw objectCorrupt(this.url, key, 'the answer had no body')
    const length = bodyLength(this.url, key, output, range)
    if (length instanceof StratalogError) {
      body.destroy()
      throw length
    }
    const sha256 = range === undefined ? hexOfChecksum(output.ChecksumSHA256) : null
    const limits = {
      windowMs: this.#limits.bodyWindowMs,
      windowBytesMin: this.#limits.bodyWindowBytesMin,
    }
    return readBody(
      body,
      { url: this.url, key, length, sha256 },
      { clock: this.#clock, limits, signal },
    )
  }

  async head(
    key: string,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<ObjectHead | null> {
    checkObjectKey(key)
    const input = { ...this.#named(key), ChecksumMode: 'ENABLED' } as const
    const output = await this.#send(key, options.signal, this.#limits.responseMs, (abortSignal) =>
      this.#client.send(new HeadObjectCommand(input), { abortSignal }).catch((error: unknown) => {
        // An answer to HEAD has no body that could tell a missing bucket from a missing object.
        if (
          httpStatusOf(error) === 404 &&
          !(error instanceof Error && error.name === 'NoSuchBucket')
        )
          return null
        throw error
      }),
    )
    if (output === null) return null
    if (output.ContentLength === undefined)
      throw objectCorrupt(this.url, key, 'the store does not say its length')
    return {
      length: output.ContentLength,
      sha256: hexOfChecksum(output.ChecksumSHA256),
      putId: output.Metadata?.[PUT_ID_METADATA] ?? null,
    }
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncGenerator<ListedObject> {
    let last = options.after ?? ''
    let token: string | undefined
    do {
      const page: ListObjectsV2CommandOutput = await this.#listPage(prefix, options, token)
      for (const { Key: fullKey, Size: length } of page.Contents ?? []) {
        const key = fullKey?.slice(this.#prefix.length) ?? ''
        if (!isObjectKey(key) || length === undefined) continue
        if (key <= last) throw this.#listedOutOfOrder(last, key)
        last = key
        yield { key, length }
      }
      token = page.IsTruncated === true ? page.NextContinuationToken : undefined
    } while (token !== undefined)
  }

  async remove(key: string, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    checkObjectKey(key)
    await this.#send(key, options.signal, this.#limits.responseMs, (abortSignal) =>
      this.#client.send(new DeleteObjectCommand(this.#named(key)), { abortSignal }),
    )
  }

  async *listUnfinished(prefix: string, options: SignalOption = {}): AsyncGenerator<UnfinishedPut> {
    let markers = {}
    for (let isMore = true; isMore;) {
      const input = { Bucket: this.#bucket, Prefix: this.#prefix + prefix, ...markers }
      const page = await this.#send(null, options.signal, this.#limits.responseMs, (abortSignal) =>
        this.#client.send(new ListMultipartUploadsCommand(input), { abortSignal }),
      )
      if (page.IsTruncated === undefined) throw this.#speaksNoS3()
      for (const { Key: fullKey, UploadId: id, Initiated: started } of page.Uploads ?? []) {
        const key = fullKey?.slice(this.#prefix.length) ?? ''
        if (!isObjectKey(key) || id === undefined || started === undefined) continue
        yield { key, id, startedAt: started.getTime() }
      }
      const { NextKeyMarker: KeyMarker, NextUploadIdMarker: UploadIdMarker } = page
      markers = { KeyMarker, UploadIdMarker }
      isMore = page.IsTruncated && KeyMarker !== undefined
    }
  }

  async abortUnfinished(
    { key, id }: Pick<UnfinishedPut, 'key' | 'id'>,
    options: SignalOption = {},
  ): Promise<void> {
    const input = { ...this.#named(key), UploadId: id }
    await this.#send(key, options.signal, this.#limits.responseMs, (abortSignal) =>
      this.#client
        .send(new AbortMultipartUploadCommand(input), { abortSignal })
        .catch((error: unknown) => {
          if (!(error instanceof Error && error.name === 'NoSuchUpload')) throw error
        }),
    )
  }

  /**
   * Lists rather than asks for the bucket's head: only answers with a body name the reason of a
   * refusal.
   */
  async probe(options: { readonly write: boolean; readonly signal?: AbortSignal }): Promise<void> {
    await this.#listPage('', options, undefined, 1)
    if (options.write) await probeConditionalPut(this, this.#random, options.signal)
  }

  /**
   * Makes the bucket; one that is already ours is left as it is. For demos and tests: the engine
   * never makes buckets.
   */
  async createBucket(): Promise<void> {
    const { isAws, region } = this.#connection
    const location = isAws && region !== null && region !== 'us-east-1' ? region : null
    await this.#send(null, undefined, this.#limits.responseMs, (abortSignal) =>
      this.#client
        .send(
          new CreateBucketCommand({
            Bucket: this.#bucket,
            ...(location === null
              ? {}
              : { CreateBucketConfiguration: { LocationConstraint: location as 'eu-west-1' } }),
          }),
          { abortSignal },
        )
        .catch((error: unknown) => {
          if (!(error instanceof Error && error.name === 'BucketAlreadyOwnedByYou')) throw error
        }),
    )
  }

  /** Puts in parts are given up, and their parts removed. */
  async close(): Promise<void> {
    this.#closing.abort()
    await Promise.allSettled(this.#uploads)
    this.#client.destroy()
  }

  async #putInParts(key: string, bytes: Uint8Array, options: PutOptions): Promise<void> {
    const signals = [
      this.#closing.signal,
      ...(options.signal === undefined ? [] : [options.signal]),
    ]
    const signal = AbortSignal.any(signals)
    const { partBytes, parallelParts: parallel } = this.#limits
    // Only the last request says that the key is taken: a put that is tried again would send all of it before.
    if (options.ifAbsent === true && (await this.head(key, { signal })) !== null)
      throw objectExists(this.url, key)
    const upload = putInParts({
      requests: this.#partRequests(key, bytes, options),
      ...{ url: this.url, key, bytes, partBytes, parallel, signal },
    })
    this.#uploads.add(upload)
    try {
      await upload
    } finally {
      this.#uploads.delete(upload)
    }
  }

  #partRequests(key: string, bytes: Uint8Array, options: PutOptions): PartRequests {
    const named = this.#named(key)
    const { responseMs } = this.#limits
    return {
      begin: async (signal) => {
        const input = { ...named, ChecksumAlgorithm: 'SHA256', ...metadataOf(options) } as const
        const { UploadId } = await this.#send(key, signal, responseMs, (abortSignal) =>
          this.#client.send(new CreateMultipartUploadCommand(input), { abortSignal }),
        )
        if (UploadId === undefined) throw this.#speaksNoS3()
        return UploadId
      },
      part: async (UploadId, { number: PartNumber, bytes: Body, sha256 }, signal) => {
        const command = new UploadPartCommand({
          ...named,
          ...{ UploadId, PartNumber, Body, ContentLength: Body.length },
          ChecksumSHA256: base64OfHex(sha256),
        })
        command.middlewareStack.add(withHeader('x-amz-content-sha256', sha256), { step: 'build' })
        const { ETag } = await this.#send(key, signal, this.#uploadMs(Body), (abortSignal) =>
          this.#client.send(command, { abortSignal }),
        )
        if (ETag === undefined) throw this.#speaksNoS3()
        return ETag
      },
      end: async (UploadId, parts, signal) => {
        const command = new CompleteMultipartUploadCommand({
          ...{ ...named, UploadId },
          MultipartUpload: {
            Parts: parts.map(({ number: PartNumber, tag: ETag, sha256 }) => ({
              ...{ PartNumber, ETag },
              ChecksumSHA256: base64OfHex(sha256),
            })),
          },
          ...(options.ifAbsent === true ? { IfNoneMatch: '*' } : {}),
        })
        const { ChecksumSHA256 } = await this.#send(
          key,
          signal,
          this.#uploadMs(bytes),
          (abortSignal) => this.#client.send(command, { abortSignal }),
        )
        return ChecksumSHA256 ?? null
      },
      abort: (id) => this.abortUnfinished({ key, id }),
    }
  }

  #uploadMs({ length }: Uint8Array): number {
    return this.#limits.responseMs + (length / this.#limits.uploadBytesPerSecondMin) * 1_000
  }

  #named(key: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.#bucket, Key: this.#prefix + key }
  }

  #speaksNoS3(): StratalogError {
    return storeUnavailable(this.url, 'what answers does not speak S3; check the endpoint')
  }

  async #listPage(
    prefix: string,
    options: ListOptions,
    token: string | undefined,
    keysMax: number = LIST_PAGE_KEYS,
  ): Promise<ListObjectsV2CommandOutput> {
    const input = {
      Bucket: this.#bucket,
      Prefix: this.#prefix + prefix,
      MaxKeys: keysMax,
      ...(options.after === undefined ? {} : { StartAfter: this.#prefix + options.after }),
      ...(token === undefined ? {} : { ContinuationToken: token }),
    }
    const page = await this.#send(null, options.signal, this.#limits.responseMs, (abortSignal) =>
      this.#client.send(new ListObjectsV2Command(input), { abortSignal }),
    )
    this.#checkPage(page)
    return page
  }

  /**
   * The SDK reads a web page, an empty answer or half an answer as a listing with fewer keys: here
   * that is an error.
   */
  #checkPage(page: ListObjectsV2CommandOutput): void {
    const count = page.Contents?.length ?? 0
    if (page.IsTruncated !== undefined && (page.KeyCount === undefined || page.KeyCount === count))
      return
    if (page.IsTruncated === undefined) throw this.#speaksNoS3()
    throw storeUnavailable(this.url, `a listing of ${page.KeyCount} keys came with ${count}`)
  }

  /**
   * One request with a deadline. The SDK learns the clock's skew from a refusal, so such a refusal
   * is worth one more try.
   */
  async #send<T>(
    key: string | null,
    signal: AbortSignal | undefined,
    delayMs: number,
    request: (abortSignal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const onExpired = (): StratalogError =>
      storeUnavailable(
        this.url,
        `no answer within ${Math.round(delayMs)} ms${key === null ? '' : ` for ${key}`}`,
      )
    const run = (): Promise<T> =>
      withDeadline({ clock: this.#clock, delayMs, signal, onExpired }, request)
    try {
      return await run().catch((error: unknown) => {
        if (isSkewCorrected(error)) return run()
        throw error
      })
    } catch (error) {
      throw s3Error(error, this.#errorContext(key))
    }
  }

  /** An empty range cannot be said in HTTP. */
  async #getNothing(
    key: string,
    range: { readonly start: number; readonly end: number },
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array> {
    const head = await this.head(key, signal === undefined ? {} : { signal })
    if (head === null) throw objectNotFound(this.url, key)
    if (range.end > head.length) throw rangeOutside(this.url, key, range, head.length)
    return new Uint8Array(0)
  }

  #listedOutOfOrder(last: string, key: string): StratalogError {
    return new StratalogError(
      'store_unsupported',
      `The object store ${this.url} does not list keys in byte order (${key} came after ${last}).`,
      { details: { url: this.url, key, last } },
    )
  }

  #errorContext(key: string | null): S3ErrorContext {
    return { url: this.url, bucket: this.#bucket, key, endpoint: this.#connection.endpoint }
  }
}

function metadataOf({ putId }: PutOptions): { readonly Metadata?: Record<string, string> } {
  return putId === undefined ? {} : { Metadata: { [PUT_ID_METADATA]: putId } }
}

function base64OfHex(hex: string): string {
  return Buffer.from(hex, 'hex').toString('base64')
}

function createClient(connection: S3Connection, limits: S3Limits, logger: Logger): S3Client {
  const { endpoint, region, credentials, profile } = connection
  return new S3Client({
    maxAttempts: 1,
    forcePathStyle: connection.forcePathStyle,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // Waiting for "100 Continue" costs a round trip and the connection's reuse.
    expectContinueHeader: false,
    requestHandler: { connectionTimeout: limits.connectMs, logger: sdkLogger(logger) },
    ...(endpoint === null ? {} : { endpoint }),
    ...(region === null ? {} : { region }),
    // A copy: the SDK writes into the object that it is given.
    ...(credentials === null ? {} : { credentials: { ...credentials } }),
    ...(profile === null ? {} : { profile }),
  })
}
