import type { Command } from 'commander'

/** Called with the exit status of a command that ended without an error but not with success. */
export type SetStatus = (status: number) => void

export function command(
  program: Command,
  usage: string,
  text: string,
  ...examples: readonly string[]
): Command {
  const lines = examples.map((example) => `  stratalog ${example}`)
  return program
    .command(usage)
    .description(text)
    .option('--json', 'one JSON document (or JSON Lines) on standard output')
    .addHelpText('after', `\n${examples.length > 1 ? 'Examples' : 'Example'}:\n${lines.join('\n')}`)
}
