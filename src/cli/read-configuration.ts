/** The configuration of a command. Loaded by the commands, not by the parser: it brings the validator with it. */
import { configError } from '../engine/config-error.ts'
import { type StratalogOptions, optionProblems, validateOptions } from '../engine/config.ts'
import { type FlagValues, givenConfiguration } from './config-flags.ts'
import { type ServerKeys, serverProblems, splitServerKeys } from './server-keys.ts'

/**
 * The configuration that file and flags give together. What of the file is for a server alone is passed over, so that
 * all commands take the same file.
 * @throws StratalogError `config_invalid` with every problem; `file_not_found` for the file.
 */
export function readConfiguration(values: FlagValues): StratalogOptions {
  return validateOptions(splitServerKeys(givenConfiguration(values), {}).rest)
}

/** As `readConfiguration`, with what is for the server. @throws as `readConfiguration`. */
export function readServerConfiguration(values: FlagValues): {
  readonly config: StratalogOptions
  readonly server: ServerKeys
} {
  const { server, rest } = splitServerKeys(givenConfiguration(values), values)
  const problems = [...serverProblems(server), ...optionProblems(rest)]
  if (problems.length > 0) throw configError(problems)
  return { config: rest, server }
}
