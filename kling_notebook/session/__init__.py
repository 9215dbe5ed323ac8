"""What one kernel owns: settings, running jobs, pictures, memory. No notebook."""
