/** How names follow from one another in the EC2 query protocol when the model says nothing else. */

export const capitalised = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1)
export const uncapitalised = (name: string): string => name.charAt(0).toLowerCase() + name.slice(1)
