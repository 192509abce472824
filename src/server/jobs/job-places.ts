/**
 * What a job may reach. The server reads and writes with rights of its own, so what a client names is held to what the
 * operator allowed: archives, a folder for new directories, hosts.
 */
import { StratalogError } from '../../base/errors.ts'
import { parseArchiveUrl } from '../../storage/archive-url.ts'
import { isListedUrl } from '../../storage/http-target.ts'
import type { QueryIsolation } from '../../query/query-runner.ts'
import type { EnginePlaces } from '../api/file-routes.ts'
import { OWN_LOGS_PREFIX } from '../streams/stream-names.ts'

export interface JobRules {
  /** URLs of archives, which with those below them may be read beside the server's own. */
  readonly archives: readonly string[]
  /** Where restores may make directories; null: nowhere. */
  readonly folder: string | null
  /** Hosts that a replay may post to, with a port for that port alone. */
  readonly hosts: readonly string[]
  /** Whether these may be of this machine or of a private network. */
  readonly allowPrivate: boolean
  /** Where the SQL of a drill's checks runs. */
  readonly queryIsolation: QueryIsolation
}

export interface JobArchive {
  readonly url: string
  readonly isOwn: boolean
}

export class JobPlaces {
  readonly #rules: JobRules
  readonly #own: readonly string[]

  /** @throws StratalogError `url_invalid` for an archive of the rules that is none. */
  constructor(rules: JobRules, { archive, snapshots }: EnginePlaces) {
    const own = [archive, snapshots].filter((url) => url !== undefined)
    this.#own = own.map((url) => parseArchiveUrl(url).url)
    this.#rules = { ...rules, archives: rules.archives.map((url) => parseArchiveUrl(url).url) }
  }

  get queryIsolation(): QueryIsolation {
    return this.#rules.queryIsolation
  }

  /** @throws StratalogError `url_invalid`, `argument_invalid` where nothing is named and the server has none. */
  archive(given: string | undefined): JobArchive {
    const [own] = this.#own
    if (given === undefined && own !== undefined) return { url: own, isOwn: true }
    if (given === undefined) {
      throw new StratalogError(
        'argument_invalid',
        'This server has no archive of its own: name one as archive.',
      )
    }
    const { url } = parseArchiveUrl(given)
    if (this.#own.includes(url)) return { url, isOwn: true }
    const isAllowed = this.#rules.archives.some(
      (allowed) => url === allowed || url.startsWith(`${allowed}/`),
    )
    if (isAllowed) return { url, isOwn: false }
    throw new StratalogError(
      'url_invalid',
      'This archive is neither the own one of the server nor one that --job-archives allows.',
    )
  }

  /** The path of a new directory. @throws StratalogError `argument_invalid`. */
  directory(name: string): string {
    const { folder } = this.#rules
    if (folder !== null) return `${folder}/${name}`
    throw new StratalogError(
      'argument_invalid',
      'This server restores into no directory; its operator allows that with --job-dir.',
    )
  }

  /** The endpoint, with what is checked again when its name is resolved. @throws StratalogError `url_invalid`. */
  endpoint(url: string): {
    readonly url: string
    readonly hosts: readonly string[]
    readonly allowPrivate: boolean
  } {
    const { hosts, allowPrivate } = this.#rules
    if (isListedUrl(url, hosts)) return { url, hosts, allowPrivate }
    throw new StratalogError(
      'url_invalid',
      'The host of this URL is not one that --job-hosts allows.',
    )
  }

  /** @throws StratalogError `argument_invalid` for names that are left out, or are the server's own. */
  engineLogs(
    logs: readonly string[] | undefined,
    rename: Readonly<Record<string, string>> = {},
  ): readonly string[] {
    if (logs === undefined || logs.length === 0) {
      throw new StratalogError(
        'argument_invalid',
        'What goes into this server is named: give the logs as logs.',
      )
    }
    for (const log of logs) {
      const name = Object.hasOwn(rename, log) ? (rename[log] ?? log) : log
      if (!name.toLowerCase().startsWith(OWN_LOGS_PREFIX)) continue
      throw new StratalogError(
        'argument_invalid',
        `Names with ${OWN_LOGS_PREFIX} are the server's.`,
      )
    }
    return logs
  }
}
