/** Uploads in parts, as the S3 of `faulty-s3-server.ts` keeps them: bytes by part, until they are put together. */
import { createHash } from 'node:crypto'

interface Upload {
  readonly key: string
  readonly putId: string | undefined
  readonly started: Date
  readonly parts: Map<number, { readonly bytes: Buffer; readonly checksum: string }>
}

export class S3Uploads {
  readonly #uploads = new Map<string, Upload>()
  #begun = 0

  get keys(): readonly string[] {
    return [...this.#uploads.values()].map(({ key }) => key)
  }

  begin(key: string, putId: string | undefined, started: Date = new Date()): string {
    const id = `upload-${this.#begun++}`
    this.#uploads.set(id, { key, putId, started, parts: new Map() })
    return id
  }

  /** The error code of a refusal; null when it is there. */
  put(id: string, number: number, bytes: Buffer, checksum: string | undefined): string | null {
    const upload = this.#uploads.get(id)
    if (upload === undefined) return 'NoSuchUpload'
    const own = createHash('sha256').update(bytes).digest('base64')
    if (checksum !== own) return 'BadDigest'
    upload.parts.set(number, { bytes, checksum: own })
    return null
  }

  /** What the body names, put together; or the error code of a refusal. */
  end(
    id: string,
    body: string,
  ):
    | { readonly bytes: Buffer; readonly checksum: string; readonly putId: string | undefined }
    | string {
    const upload = this.#uploads.get(id)
    if (upload === undefined) return 'NoSuchUpload'
    const named = [...body.matchAll(/<Part>(.*?)<\/Part>/gs)].map(([, part = '']) => ({
      number: Number(/<PartNumber>(\d+)</.exec(part)?.[1]),
      checksum: /<ChecksumSHA256>(.*?)</.exec(part)?.[1],
    }))
    const hash = createHash('sha256')
    const pieces: Buffer[] = []
    for (const { number, checksum } of named) {
      const part = upload.parts.get(number)
      if (part === undefined || part.checksum !== checksum) return 'InvalidPart'
      hash.update(part.checksum, 'base64')
      pieces.push(part.bytes)
    }
    this.#uploads.delete(id)
    const checksum = `${hash.digest('base64')}-${named.length}`
    return { bytes: Buffer.concat(pieces), checksum, putId: upload.putId }
  }

  abort(id: string): boolean {
    return this.#uploads.delete(id)
  }

  /** One to a page, so that whoever lists them has to turn pages. */
  page(bucket: string, prefix: string, afterId: string | null): string {
    const found = [...this.#uploads].filter(([, { key }]) => key.startsWith(`${bucket}/${prefix}`))
    const index = afterId === null ? 0 : found.findIndex(([id]) => id === afterId) + 1
    const [id, upload] = found[index] ?? ['', null]
    const key = upload?.key.slice(bucket.length + 1) ?? ''
    const uploads =
      upload === null
        ? ''
        : `<Upload><Key>${key}</Key><UploadId>${id}</UploadId><Initiated>${upload.started.toISOString()}</Initiated></Upload>`
    const isTruncated = index + 1 < found.length
    const next = isTruncated
      ? `<NextKeyMarker>${key}</NextKeyMarker><NextUploadIdMarker>${id}</NextUploadIdMarker>`
      : ''
    return `<ListMultipartUploadsResult><IsTruncated>${isTruncated}</IsTruncated>${next}${uploads}</ListMultipartUploadsResult>`
  }
}
