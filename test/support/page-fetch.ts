/**
 * `fetch` as a page of an origin has it: what the browser asks before it sends, what it refuses to hand over, and which
 * headers it hides. The rules are those of the Fetch standard, without credentials.
 */

/** What a page may read without being told so. */
const ALWAYS_READABLE = new Set([
  'cache-control',
  'content-language',
  'content-length',
  'content-type',
  'expires',
  'last-modified',
  'pragma',
])

/** What is between the server and the browser; of no use to a page. */
const NOT_FOR_PAGES = [
  'connection',
  'cross-origin-resource-policy',
  'date',
  'keep-alive',
  'transfer-encoding',
  'vary',
  'x-accel-buffering',
  'x-content-type-options',
]

export interface Page {
  readonly fetch: typeof globalThis.fetch
  /** Headers that the server sent and that the page could not read. */
  readonly hidden: ReadonlySet<string>
  /** How often the browser asked before it sent. */
  readonly preflights: () => number
}

export function pageOf(origin: string): Page {
  const hidden = new Set<string>()
  let preflights = 0
  const ask = async (request: Request, asked: readonly string[]): Promise<void> => {
    preflights++
    const answer = await fetch(request.url, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': request.method,
        ...(asked.length === 0 ? {} : { 'access-control-request-headers': asked.join(',') }),
      },
    })
    await answer.arrayBuffer()
    const methods = ['GET', 'HEAD', 'POST', ...listOf(answer, 'access-control-allow-methods')]
    const allowed = listOf(answer, 'access-control-allow-headers').map((it) => it.toLowerCase())
    const isAllowed =
      answer.ok &&
      mayRead(answer, origin) &&
      methods.includes(request.method) &&
      asked.every((name) => allowed.includes(name))
    if (!isAllowed) throw new TypeError('Failed to fetch')
  }
  return {
    hidden,
    preflights: () => preflights,
    fetch: async (input, init) => {
      const request = new Request(input, init)
      const asked = [...request.headers].flatMap(([name, value]) =>
        isSafe(name, value) ? [] : [name],
      )
      if (asked.length > 0 || !['GET', 'HEAD', 'POST'].includes(request.method))
        await ask(request, asked)
      const headers = new Headers(request.headers)
      headers.set('origin', origin)
      const answer = await fetch(new Request(request, { headers }))
      if (!mayRead(answer, origin)) {
        await answer.body?.cancel()
        throw new TypeError('Failed to fetch')
      }
      return readable(answer, hidden)
    },
  }
}

function isSafe(name: string, value: string): boolean {
  if (name === 'accept' || name === 'accept-language')
    return !/[^ -~]|["():<>?@[\\\]{}]/.test(value)
  if (name !== 'content-type') return false
  return /^(text\/plain|multipart\/form-data|application\/x-www-form-urlencoded)(;|$)/.test(value)
}

function mayRead(answer: Response, origin: string): boolean {
  const allowed = answer.headers.get('access-control-allow-origin')
  return allowed === '*' || allowed === origin
}

function listOf(answer: Response, name: string): readonly string[] {
  return (answer.headers.get(name) ?? '').split(',').map((part) => part.trim())
}

/** The answer with the headers that the page may read; what else there was goes to `hidden`. */
function readable(answer: Response, hidden: Set<string>): Response {
  const exposed = new Set([
    ...ALWAYS_READABLE,
    ...listOf(answer, 'access-control-expose-headers').map((name) => name.toLowerCase()),
  ])
  const names = [...answer.headers.keys()]
  for (const name of names) {
    const isForBrowsers = name.startsWith('access-control-') || NOT_FOR_PAGES.includes(name)
    if (!exposed.has(name) && !isForBrowsers) hidden.add(name)
  }
  const { status, statusText } = answer
  const headers = names.flatMap((name): [string, string][] =>
    exposed.has(name) ? [[name, answer.headers.get(name) ?? '']] : [],
  )
  return new Response(answer.body, { status, statusText, headers })
}
