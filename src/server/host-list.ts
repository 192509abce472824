/**
 * Which `Host` a request may name. A page of another site that has its name resolve to this machine reaches a server on
 * loopback with that name in `Host`; addresses cannot be had so, and are let through.
 */
import { isIP } from 'node:net'
import { RequestProblem } from './http-error.ts'

const LOOPBACK_NAMES = ['localhost']

export class HostList {
  readonly #names: ReadonlySet<string>
  /** What was allowed last, as it was given: as a rule it comes again. */
  #lastAllowed: string | null = null

  constructor(names: readonly string[]) {
    this.#names = new Set([...LOOPBACK_NAMES, ...names].map((name) => name.toLowerCase()))
  }

  /** @throws RequestProblem `host_refused`. */
  assertAllowed(host: string | undefined): void {
    if (host !== undefined && host === this.#lastAllowed) return
    const name = nameOf(host ?? '')
    if (name !== '' && (this.#names.has(name) || isIP(name) !== 0)) {
      this.#lastAllowed = host ?? null
      return
    }
    throw new RequestProblem(
      'host_refused',
      'This server does not answer to that Host; --allow-host names those that it answers to.',
    )
  }
}

/** The name of a host without its port and the dot that may end it; an IPv6 address without its brackets. */
function nameOf(host: string): string {
  const bracketed = /^\[([^\]]*)\](?::\d+)?$/.exec(host)
  if (bracketed !== null) return bracketed[1] ?? ''
  const [name = '', port, ...rest] = host.split(':')
  if (rest.length > 0 || (port !== undefined && !/^\d*$/.test(port))) return ''
  return name.toLowerCase().replace(/\.$/, '')
}

/** Whether an address is of this machine only. */
export function isLoopback(address: string): boolean {
  return address === 'localhost' || address === '::1' || /^127\.\d+\.\d+\.\d+$/.test(address)
}
