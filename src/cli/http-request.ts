/** One HTTP request. Only its answer and the signal end it: a tier move or a live read takes as long as it takes. */
import * as http from 'node:http'
import * as https from 'node:https'

export interface HttpRequest {
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  readonly signal: AbortSignal
}

/** Resolves with the head of the answer, whatever its status; its body is read from it. */
export function sendRequest(url: URL, request: HttpRequest): Promise<http.IncomingMessage> {
  const { method, headers, body, signal } = request
  const client = url.protocol === 'https:' ? https : http
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
  return new Promise((resolve, reject) => {
    const sent = client.request(
      url,
      { method, headers: { ...headers, ...length }, signal },
      resolve,
    )
    sent.on('error', reject)
    sent.end(body)
  })
}
