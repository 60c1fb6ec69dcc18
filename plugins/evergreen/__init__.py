"""What Evergreen adds to Airflow's vocabulary; imported as ``evergreen`` by Dags and by the plugin."""
