/**
 * A small S3 over HTTP on loopback that misbehaves by a script: what a real store and the network
 * in front of it do to a client, below the SDK. It keeps objects in memory, speaks path style,
 * honours `If-None-Match: *` and byte ranges, and checks no signatures.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { S3Uploads } from './s3-uploads.ts'

export type HttpFault =
  /** An answer with this status and S3 error code, and nothing happens. */
  | { readonly kind: 'status'; readonly status: number; readonly code: string }
  /** The connection is reset before anything happens. */
  | { readonly kind: 'reset' }
  /** It happens, then the connection is reset instead of an answer. */
  | { readonly kind: 'apply-then-reset' }
  /** No answer ever comes. */
  | { readonly kind: 'silence' }
  /** The body ends after so many bytes of those announced, and the connection is closed. */
  | { readonly kind: 'truncate'; readonly length: number }
  /**
   * The same with chunked encoding, which announces no length; the body then ends as if complete.
   */
  | { readonly kind: 'truncate-chunked'; readonly length: number }
  /** So many bytes come, then one every few ms. */
  | { readonly kind: 'drip'; readonly length: number; readonly everyMs: number }
  /** A bit of the body is flipped; the headers are right. */
  | { readonly kind: 'wrong-bytes' }
  | { readonly kind: 'ignore-range' }
  | { readonly kind: 'ignore-condition' }
  /** A page as a captive portal or a wrong port gives it. */
  | { readonly kind: 'html' }

export type S3Operation =
  | 'put'
  | 'get'
  | 'head'
  | 'list'
  | 'delete'
  | 'begin'
  | 'part'
  | 'end'
  | 'abort'
  | 'list-uploads'

export interface HttpCall {
  readonly index: number
  readonly method: string
  readonly operation: S3Operation
  readonly key: string
  readonly headers: IncomingMessage['headers']
}

interface StoredObject {
  readonly bytes: Buffer
  readonly checksum: string | undefined
  readonly putId: string | undefined
}

export interface FaultyS3Server extends AsyncDisposable {
  readonly endpoint: string
  readonly calls: HttpCall[]
  /** By bucket and key, as in the path. */
  readonly objects: Map<string, StoredObject>
  readonly uploads: S3Uploads
}

export async function startFaultyS3Server(
  script: (call: HttpCall) => HttpFault | null,
): Promise<FaultyS3Server> {
  const calls: HttpCall[] = []
  const objects = new Map<string, StoredObject>()
  const uploads = new S3Uploads()
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost')
    const key = decodeURIComponent(url.pathname).slice(1).replace(/\/$/, '')
    const call = {
      index: calls.length,
      method: request.method ?? '',
      operation: operationOf(request.method ?? '', key, url.searchParams),
      key,
      headers: request.headers,
    }
    calls.push(call)
    const { operation } = call
    const exchange = { request, response, key, operation, query: url.searchParams, uploads }
    void answer(objects, script(call), exchange)
  })
  const endpoint = await listen(server)
  return {
    endpoint,
    calls,
    objects,
    uploads,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly key: string
  readonly operation: S3Operation
  readonly query: URLSearchParams
  readonly uploads: S3Uploads
}

/** What a request asks for, by its method and query. */
export function operationOf(method: string, key: string, query: URLSearchParams): S3Operation {
  const ofUpload = query.has('uploadId')
  switch (method) {
    case 'PUT':
      return ofUpload ? 'part' : 'put'
    case 'POST':
      return ofUpload ? 'end' : 'begin'
    case 'DELETE':
      return ofUpload ? 'abort' : 'delete'
    case 'HEAD':
      return 'head'
    default:
      return query.has('uploads') ? 'list-uploads' : key.includes('/') ? 'get' : 'list'
  }
}

async function answer(
  objects: Map<string, StoredObject>,
  fault: HttpFault | null,
  exchange: Exchange,
): Promise<void> {
  const { request, response, key } = exchange
  if (fault?.kind === 'reset') {
    request.socket.resetAndDestroy()
    return
  }
  const body = await readAll(request)
  if (fault?.kind === 'silence') return
  if (fault?.kind === 'html') {
    response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Please sign in</html>')
    return
  }
  if (fault?.kind === 'status') {
    sendError(response, fault.status, fault.code)
    return
  }
  switch (exchange.operation) {
    case 'put':
      put(objects, fault, exchange, body)
      return
    case 'delete':
      objects.delete(key)
      response.writeHead(204).end()
      return
    case 'get':
      get(objects, fault, exchange)
      return
    case 'list':
      list(objects, fault, exchange)
      return
    case 'head':
      head(objects, exchange)
      return
    default:
      inParts(objects, fault, exchange, body)
  }
}

function inParts(
  objects: Map<string, StoredObject>,
  fault: HttpFault | null,
  { request, response, key, operation, query, uploads }: Exchange,
  body: Buffer,
): void {
  const id = query.get('uploadId') ?? ''
  const { headers } = request
  let xml = ''
  if (operation === 'begin') {
    const begun = uploads.begin(key, oneOf(headers['x-amz-meta-stratalog-put-id']))
    xml = `<InitiateMultipartUploadResult><UploadId>${begun}</UploadId></InitiateMultipartUploadResult>`
  } else if (operation === 'part') {
    const checksum = oneOf(headers['x-amz-checksum-sha256'])
    const refused = uploads.put(id, Number(query.get('partNumber')), body, checksum)
    if (refused !== null) return sendError(response, refused === 'BadDigest' ? 400 : 404, refused)
    response.setHeader('etag', `"part-${query.get('partNumber')}"`)
  } else if (operation === 'abort') {
    if (!uploads.abort(id)) return sendError(response, 404, 'NoSuchUpload')
  } else if (operation === 'list-uploads') {
    xml = uploads.page(key, query.get('prefix') ?? '', query.get('upload-id-marker'))
  } else {
    if (headers['if-none-match'] === '*' && objects.has(key))
      return sendError(response, 412, 'PreconditionFailed')
    const whole = uploads.end(id, body.toString())
    if (typeof whole === 'string')
      return sendError(response, whole === 'NoSuchUpload' ? 404 : 400, whole)
    objects.set(key, whole)
    const checksum = fault?.kind === 'wrong-bytes' ? 'AAAA-1' : whole.checksum
    xml = `<CompleteMultipartUploadResult><ChecksumSHA256>${checksum}</ChecksumSHA256></CompleteMultipartUploadResult>`
  }
  if (fault?.kind === 'apply-then-reset') request.socket.resetAndDestroy()
  else response.writeHead(200, { 'content-type': 'application/xml' }).end(xml)
}

function put(
  objects: Map<string, StoredObject>,
  fault: HttpFault | null,
  { request, response, key }: Exchange,
  bytes: Buffer,
): void {
  const isConditional =
    request.headers['if-none-match'] === '*' && fault?.kind !== 'ignore-condition'
  if (isConditional && objects.has(key)) {
    sendError(response, 412, 'PreconditionFailed')
    return
  }
  const checksum = request.headers['x-amz-checksum-sha256']
  const putId = request.headers['x-amz-meta-stratalog-put-id']
  objects.set(key, { bytes, checksum: oneOf(checksum), putId: oneOf(putId) })
  if (fault?.kind === 'apply-then-reset') request.socket.resetAndDestroy()
  else response.writeHead(200).end()
}

function oneOf(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header
}

function get(
  objects: Map<string, StoredObject>,
  fault: HttpFault | null,
  exchange: Exchange,
): void {
  const { request, response, key } = exchange
  const object = objects.get(key)
  if (object === undefined) {
    sendError(response, 404, 'NoSuchKey')
    return
  }
  const range =
    fault?.kind === 'ignore-range' ? null : /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '')
  const start = Number(range?.[1] ?? 0)
  const end =
    range === null ? object.bytes.length : Math.min(Number(range[2]) + 1, object.bytes.length)
  const bytes = Buffer.from(object.bytes.subarray(start, end))
  if (fault?.kind === 'wrong-bytes')
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 0x10
  const asksChecksum = request.headers['x-amz-checksum-mode'] === 'ENABLED'
  response.writeHead(range === null ? 200 : 206, {
    ...(range === null
      ? {}
      : { 'content-range': `bytes ${start}-${end - 1}/${object.bytes.length}` }),
    ...(object.checksum !== undefined && asksChecksum
      ? { 'x-amz-checksum-sha256': object.checksum }
      : {}),
    ...(fault?.kind === 'truncate-chunked' ? {} : { 'content-length': bytes.length }),
  })
  sendBody(response, bytes, fault)
}

function sendBody(response: ServerResponse, bytes: Buffer, fault: HttpFault | null): void {
  if (fault?.kind === 'truncate') {
    response.write(bytes.subarray(0, fault.length), () => response.socket?.destroy())
  } else if (fault?.kind === 'truncate-chunked') {
    response.end(bytes.subarray(0, fault.length))
  } else if (fault?.kind === 'drip') {
    drip(response, bytes, fault.length, fault.everyMs)
  } else {
    response.end(bytes)
  }
}

function drip(response: ServerResponse, bytes: Buffer, length: number, everyMs: number): void {
  let position = length
  response.write(bytes.subarray(0, position))
  const timer = setInterval(() => {
    response.write(bytes.subarray(position, position + 1))
    position++
  }, everyMs)
  response.once('close', () => clearInterval(timer))
}

function head(objects: Map<string, StoredObject>, { response, key }: Exchange): void {
  const object = objects.get(key)
  if (object === undefined) {
    response.writeHead(404).end()
    return
  }
  response.writeHead(200, {
    'content-length': object.bytes.length,
    ...(object.checksum === undefined ? {} : { 'x-amz-checksum-sha256': object.checksum }),
    ...(object.putId === undefined ? {} : { 'x-amz-meta-stratalog-put-id': object.putId }),
  })
  response.end()
}

/** One page, in the order the objects were put when the query asks a bucket named `unordered`. */
function list(
  objects: Map<string, StoredObject>,
  fault: HttpFault | null,
  { response, key: bucket, query }: Exchange,
): void {
  const prefix = `${bucket}/${query.get('prefix') ?? ''}`
  const keys = [...objects.keys()].filter((key) => key.startsWith(prefix))
  if (bucket !== 'unordered') keys.sort()
  const contents = keys.map((key) => {
    const length = objects.get(key)?.bytes.length ?? 0
    return `<Contents><Key>${key.slice(bucket.length + 1)}</Key><Size>${length}</Size></Contents>`
  })
  const facts = `<KeyCount>${keys.length}</KeyCount><IsTruncated>false</IsTruncated>`
  const body = Buffer.from(`<ListBucketResult>${facts}${contents.join('')}</ListBucketResult>`)
  response.writeHead(200, { 'content-type': 'application/xml' })
  sendBody(response, body, fault)
}

function sendError(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status, { 'content-type': 'application/xml' })
  response.end(`<Error><Code>${code}</Code><Message>scripted</Message></Error>`)
}

async function readAll(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no address')
  return `http://127.0.0.1:${address.port}`
}
