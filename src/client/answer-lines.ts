/** The lines of an answer, each parsed as JSON, while the answer comes. */
import { StratalogError, throwIfAborted } from '../base/errors.ts'

/**
 * Leaving the loop early ends the request. A last line without its line feed was cut off, and is left out.
 * @throws StratalogError `server_unavailable` where the answer breaks off, `aborted`.
 */
export async function* answerLines(
  response: Response,
  signal: AbortSignal | undefined,
): AsyncGenerator<Readonly<Record<string, unknown>>, void, undefined> {
  if (response.body === null) return
  const reader = response.body.getReader()
  const decoder = new TextDecoder()
  // Pieces of a line that has not ended: put together once, however many they are.
  let pieces: string[] = []
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      const lines = decoder.decode(value, { stream: true }).split('\n')
      const [first = '', ...more] = lines
      pieces.push(first)
      for (const next of more) {
        const line = pieces.join('')
        pieces = [next]
        if (line !== '') yield JSON.parse(line) as Readonly<Record<string, unknown>>
      }
    }
  } catch (error) {
    throwIfAborted(signal)
    if (error instanceof StratalogError) throw error
    throw brokenOff(error)
  } finally {
    // What is over or broken has nothing to cancel.
    await reader.cancel().catch(() => {})
  }
}

export function brokenOff(cause?: unknown): StratalogError {
  return new StratalogError('server_unavailable', 'The answer of the server broke off.', {
    cause,
  })
}
